#ifndef DOCKLINE_EDITS_H
#define DOCKLINE_EDITS_H

#include <stdint.h>

#include "json.h"

struct user_namespace {
	uint32_t host_id;
	uint32_t size;
	/* 0: the real runtime makes a new namespace. */
	int join_pid;
	/* Field 22 of /proc/<pid>/stat, so that a reused pid is not joined. */
	unsigned long long join_start_ticks;
};

/* Checks version, container id and that every member is known. */
void check_edits(yyjson_val *edits, const char *id);

/*
 * `merge` (RFC 7396) and then `ops`, in order, on the spec.
 * `supports(option)` says whether the real runtime knows a mount option: runc takes an unknown one
 * for file system data, which a bind mount ignores in silence.
 */
void apply_edits(yyjson_val *edits, yyjson_mut_doc *spec, bool (*supports)(const char *option));

/* False when the edits want no user namespace. */
bool wants_user_namespace(yyjson_val *edits, struct user_namespace *wanted);

/*
 * The spec's part of a user namespace: namespaces, mappings, root, id-mapped mounts.
 * `join_path` is NULL for a new namespace.
 */
void edit_user_namespace(yyjson_val *edits, yyjson_mut_doc *spec,
			 const struct user_namespace *wanted, const char *join_path,
			 const char *root_path);

#endif
