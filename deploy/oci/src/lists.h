#ifndef DOCKLINE_LISTS_H
#define DOCKLINE_LISTS_H

#include "json.h"

/* Operations on lists whose entries have a key, and on the environment; the README has their meanings. */
void list_put(yyjson_val *op, yyjson_mut_doc *spec, const char *where);
void list_drop(yyjson_val *op, yyjson_mut_doc *spec, const char *where);
void env_drop(yyjson_val *op, yyjson_mut_doc *spec, const char *where);
void sort_mounts(yyjson_val *op, yyjson_mut_doc *spec, const char *where);

/* The list at a pointer; NULL when it is absent and is not to be made. */
yyjson_mut_val *list_at(yyjson_mut_doc *spec, const char *path, bool make, const char *where);

/* Whether an entry of the environment is the variable `name`. */
bool sets_variable(yyjson_mut_val *entry, const void *name);

#endif
