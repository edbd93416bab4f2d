#ifndef DOCKLINE_USERNS_H
#define DOCKLINE_USERNS_H

#include <stdbool.h>
#include <sys/types.h>

#include "edits.h"
#include "overlay.h"

/* Writing a container's root in its own user namespace, step by step; each fails the start. */

/* An open namespace with the wanted mapping: the pod's own, or one just to map mounts with. */
int open_user_namespace(const struct user_namespace *wanted);

/*
 * A child that sits in a user namespace, a new one (-1) or that behind the descriptor, until it is
 * ended or this process is.
 */
pid_t start_inside(int join_fd);
void end_inside(pid_t child);

/* Makes <edits folder>/<id> ours alone, clears what a killed predecessor left, and starts the process
   that clears it when this one is killed. Returns the path at which the root is to be mounted. */
const char *claim_folder(const char *id);

/* The folder that claim_folder made. */
const char *claimed_folder(void);

/* Takes down the mount that was only for create. The empty folder stays until the container is
   deleted: runc's exec starts in what was the root's path. */
void unmount_folder(void);

/* Takes down all that claim_folder and mount_root put up. */
void release_folder(void);

/* Whether a container has a folder; release_folder then means that one. */
int has_folder(const char *id);

/* Replaces Docker's mount at `root` by one whose lower layers are id-mapped, and mounts it at the
   claimed path too: Docker's folders are closed to the namespace's root. What dockerd wrote to the writable layer before the
   first start is given to the mapped ids. */
void mount_root(const char *root, const struct overlay *overlay, int namespace_fd,
		const struct user_namespace *wanted);

/* Whether volumes on tmpfs (secrets, service account tokens) can show mapped owners. */
bool tmpfs_maps_ids(int namespace_fd);

/* Whether the kernel can make a mount read-only with all mounts below it. */
bool sets_attributes_recursively(void);

/* A detached overlay with id-mapped lower layers; nothing shows in this mount namespace. */
int detached_overlay(const char *folder, const struct overlay *overlay, int namespace_fd,
		     int *second);

#endif
