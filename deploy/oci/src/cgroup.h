#ifndef DOCKLINE_CGROUP_H
#define DOCKLINE_CGROUP_H

#include "json.h"

/* Checks edits.cgroupWrites; returns the list or NULL when there is nothing to write. */
yyjson_val *check_cgroup_writes(yyjson_val *edits);

/*
 * Writes into the cgroups of the process that `create` left waiting, before `start` lets it go on.
 * Returns NULL, or a sentence that says which file could not be written.
 */
const char *write_cgroups(yyjson_val *writes, const char *pid_file);

#endif
