#ifndef DOCKLINE_RUNTIME_H
#define DOCKLINE_RUNTIME_H

#include <stdbool.h>

#include "yyjson.h"

/* The real runtime's file, by name on PATH or by path; never this program itself. */
void find_runtime(const char *name);

/* What the real runtime answers to `features`; NULL when it says nothing. */
yyjson_val *runtime_features(void);

/* Whether the list at a pointer of its `features` has the name. */
bool runtime_lists(const char *pointer, const char *name);

/* Whether the real runtime knows a mount option, asking its `features` where that is not certain. */
bool runtime_supports(const char *option);

/* Whether the real runtime id-maps mounts; runc below 1.2 passes over the mappings in silence. */
bool runtime_maps_mounts(void);

/* Becomes the real runtime. */
__attribute__((noreturn)) void become_runtime(char **argv);

/* Runs the real runtime, which is killed when this process is; returns its exit status. */
int run_runtime(char **argv);

#endif
