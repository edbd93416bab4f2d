#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "report.h"
#include "userns.h"

/* musl's headers of Debian 12 have the calls' numbers, not their constants. */
enum {
	OPEN_TREE_CLONE_ = 1,
	OPEN_TREE_CLOEXEC_ = O_CLOEXEC,
	MOVE_MOUNT_F_EMPTY_PATH_ = 4,
	AT_EMPTY_PATH_ = 0x1000,
	AT_RECURSIVE_ = 0x8000,
	FSOPEN_CLOEXEC_ = 1,
	FSMOUNT_CLOEXEC_ = 1,
	FSCONFIG_CMD_CREATE_ = 6,
};
#define MOUNT_ATTR_RDONLY_ 0x00000001ULL
#define MOUNT_ATTR_IDMAP_ 0x00100000ULL

struct mount_attributes {
	uint64_t set, clear, propagation, namespace_fd;
};

static int clone_tree(const char *path)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE_ | OPEN_TREE_CLOEXEC_);
}

/* Mounted nowhere; ends with its descriptor. */
static int new_tmpfs(void)
{
	int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC_), tree = -1;

	if (context >= 0 && syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE_, NULL, NULL, 0) == 0)
		tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC_, 0);
	close(context);
	return tree;
}

static int attach(int tree, const char *path)
{
	return (int)syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH_);
}

bool tmpfs_maps_ids(int namespace_fd)
{
	struct mount_attributes attributes = { .set = MOUNT_ATTR_IDMAP_,
					       .namespace_fd = (uint64_t)namespace_fd };
	int tree = new_tmpfs();
	bool maps = tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH_, &attributes,
					 sizeof(attributes)) == 0;

	close(tree);
	return maps;
}

bool sets_attributes_recursively(void)
{
	struct mount_attributes attributes = { .set = MOUNT_ATTR_RDONLY_ };
	int tree = new_tmpfs();
	bool sets = tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH_ | AT_RECURSIVE_,
					 &attributes, sizeof(attributes)) == 0;

	close(tree);
	return sets;
}

static void attach_idmapped(const char *layer, const char *at, int namespace_fd)
{
	struct mount_attributes attributes = { .set = MOUNT_ATTR_IDMAP_,
					       .namespace_fd = (uint64_t)namespace_fd };
	int tree = clone_tree(layer);

	if (tree < 0)
		fail("cannot clone the mount of %s: %s", layer, strerror(errno));
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH_, &attributes, sizeof(attributes)) != 0)
		fail("the image layer %s cannot be id-mapped (%s); the kernel or its file system does "
		     "not support it",
		     layer, strerror(errno));
	if (mkdir(at, 0700) != 0 || attach(tree, at) != 0)
		fail("cannot mount the image layer %s: %s", layer, strerror(errno));
	close(tree);
}

/*
 * Works in a mount namespace of its own, which ends with the process: a kill in the middle leaves
 * nothing. The names are relative to a tmpfs there, so that 500 layers fit the one page of options.
 */
int detached_overlay(const char *folder, const struct overlay *overlay, int namespace_fd,
		     int *second)
{
	int home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), tree;
	int where = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char options[4096], name[16];
	size_t used = 0;

	if (home < 0 || where < 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ||
	    mount("dockline", folder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=1m") != 0 ||
	    chdir(folder) != 0)
		fail("cannot prepare a mount namespace: %s", strerror(errno));
	used += (size_t)snprintf(options, sizeof(options), "lowerdir=");
	for (int i = 0; i < overlay->lowers; i++) {
		snprintf(name, sizeof(name), "%d", i);
		attach_idmapped(overlay->lower[i], name, namespace_fd);
		used += (size_t)snprintf(options + used, sizeof(options) - used, "%s%s",
					 i == 0 ? "" : ":", name);
	}
	used += (size_t)snprintf(options + used, sizeof(options) - used, ",upperdir=%s,workdir=%s%s",
				 overlay->upper, overlay->work, overlay->others);
	if (used >= sizeof(options))
		fail("the container's %d layers do not fit the options of one mount", overlay->lowers);
	if (mkdir("root", 0700) != 0 || mount("overlay", "root", "overlay", 0, options) != 0)
		fail("cannot mount an overlay with id-mapped layers: %s", strerror(errno));
	tree = clone_tree("root");
	if (second != NULL)
		*second = clone_tree("root");
	if (tree < 0 || (second != NULL && *second < 0))
		fail("cannot clone the overlay: %s", strerror(errno));
	/* The working folder goes to "/" with this, and a bundle may be given relative to it. */
	if (setns(home, CLONE_NEWNS) != 0 || fchdir(where) != 0)
		fail("cannot return to the mount namespace: %s", strerror(errno));
	close(home);
	close(where);
	return tree;
}

static const struct user_namespace *shift_to;

static uint32_t shifted_from(void)
{
	return shift_to->host_id < 65536 ? shift_to->host_id : 65536;
}

static int shift_one(const char *path, const struct stat *st, int kind, struct FTW *position)
{
	uid_t uid = st->st_uid < shift_to->size ? shift_to->host_id + st->st_uid : st->st_uid;
	gid_t gid = st->st_gid < shift_to->size ? shift_to->host_id + st->st_gid : st->st_gid;

	(void)kind;
	/* A second name of a file that is shifted already, or one that a killed start has shifted. What
	   dockerd wrote here is root's: ids from the first of the range on are those of shifted files. */
	if (st->st_uid >= shifted_from() || st->st_gid >= shifted_from())
		return 0;
	/* nftw comes to a folder after what is in it: the root's owner says that all is done. */
	(void)position;
	if (lchown(path, uid, gid) != 0)
		return -1;
	/* chown clears set-id bits. */
	return S_ISLNK(st->st_mode) || (st->st_mode & 06000) == 0 ? 0 :
								    chmod(path, st->st_mode & 07777);
}

/* What dockerd wrote to the writable layer before the first start (a working directory that the
   image does not have) belongs to the host's root and must be the container's. */
static void shift_upper(const char *upper, const struct user_namespace *wanted)
{
	struct stat st;

	if (lstat(upper, &st) != 0)
		fail("cannot stat %s: %s", upper, strerror(errno));
	if (st.st_uid == wanted->host_id)
		return;
	if (st.st_uid != 0)
		fail("the container's writable layer belongs to id %u, not to its user namespace at %u",
		     st.st_uid, wanted->host_id);
	shift_to = wanted;
	if (nftw(upper, shift_one, 32, FTW_PHYS | FTW_MOUNT | FTW_DEPTH) != 0)
		fail("cannot give %s to the user namespace: %s", upper, strerror(errno));
}

void mount_root(const char *root, const struct overlay *overlay, int namespace_fd,
		const struct user_namespace *wanted)
{
	const char *folder = claimed_folder();
	int first, second;

	if (overlay->ours) {
		struct stat st;

		if (stat(overlay->upper, &st) != 0 || st.st_uid != wanted->host_id)
			fail("the container's root was mounted for other ids than those from %u on",
			     wanted->host_id);
		second = clone_tree(root);
		if (second < 0 || attach(second, text("%s/rootfs", folder)) != 0)
			fail("cannot mount at %s/rootfs: %s", folder, strerror(errno));
		close(second);
		return;
	}
	/* The writable layer may be used by one overlay at a time. */
	if (umount2(root, MNT_DETACH) != 0)
		fail("cannot unmount %s: %s", root, strerror(errno));
	shift_upper(overlay->upper, wanted);
	first = detached_overlay(folder, overlay, namespace_fd, &second);
	if (attach(first, root) != 0)
		fail("cannot mount at %s: %s", root, strerror(errno));
	close(first);
	if (attach(second, text("%s/rootfs", folder)) != 0)
		fail("cannot mount at %s/rootfs: %s", folder, strerror(errno));
	close(second);
}
