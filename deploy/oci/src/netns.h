#ifndef DOCKLINE_NETNS_H
#define DOCKLINE_NETNS_H

#include <stdbool.h>

#include "json.h"

/*
 * Makes a network namespace with `lo` up and pins it at PATH, a new file in a shared folder. With `mark` lo
 * has an address that is there until somebody switches IPv6 off in the namespace: see look_at_netns.
 */
int make_netns(const char *path, bool mark);

/*
 * Makes the folder, and makes it a shared mount as `ip netns` does: a pod that mounts it before the first
 * namespace is pinned sees those that come later.
 */
int share_netns_folder(const char *folder);

/* Takes the pin off and removes the file; what is not there (any more) is a success. */
int remove_netns(const char *path);

/*
 * Prints {"ipv6":true} when the mark of make_netns is still there, false when it is gone, and takes it off.
 */
int look_at_netns(const char *path);

/* The operation "networkNamespace": the container joins the namespace that is pinned at `path`. */
void join_netns(yyjson_val *op, yyjson_mut_doc *spec, const char *where);

#endif
