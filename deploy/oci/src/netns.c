/* Network namespaces of pods: made before the pause container, and joined by it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "netns.h"
#include "report.h"

enum { NSFS_MAGIC = 0x6e736673, LOOPBACK_INDEX = 1 };

/* Of the block that is kept for documentation: no pod has it. */
static const char mark_address[] = "2001:db8:d0c::1";

/* As the kernel has it in linux/ipv6.h, which musl's headers lack. */
struct in6_ifreq {
	struct in6_addr address;
	uint32_t prefix;
	int index;
};

/* Only what carries our prefix is ever made or removed: other runtimes keep theirs in the same folder. */
static void check_path(const char *path)
{
	const char *name = strrchr(path, '/');
	size_t length = name == NULL ? 0 : strlen(name + 1);

	if (path[0] != '/' || strncmp(name + 1, "dockline-", 9) != 0 || length < 10 || length > 100 ||
	    strspn(name + 1, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
		fail("%s is not the path of a namespace of dockline", path);
}

static bool is_namespace(const char *path)
{
	struct statfs found;

	return statfs(path, &found) == 0 && found.f_type == NSFS_MAGIC;
}

int share_netns_folder(const char *folder)
{
	int fd;

	if (mkdir(folder, 0755) != 0 && errno != EEXIST)
		fail("cannot make %s: %s", folder, strerror(errno));
	/* Two at once would put one mount on the other; `ip netns` takes the same lock. */
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) != 0)
		fail("cannot lock %s: %s", folder, strerror(errno));
	if (mount("", folder, "none", MS_SHARED | MS_REC, NULL) == 0) {
		close(fd);
		return 0;
	}
	if (errno != EINVAL)
		fail("cannot share %s: %s", folder, strerror(errno));
	if (mount(folder, folder, "none", MS_BIND | MS_REC, NULL) != 0 ||
	    mount("", folder, "none", MS_SHARED | MS_REC, NULL) != 0)
		fail("cannot make %s a shared mount: %s", folder, strerror(errno));
	close(fd);
	return 0;
}

static void bring_up_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		fail("cannot bring lo up: %s", strerror(errno));
	close(fd);
}

/* Without IPv6 in the kernel nobody can switch it off. */
static bool has_ipv6(void)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno != EAFNOSUPPORT;
}

/* False when the address is not there. */
static bool change_mark(unsigned long request)
{
	struct in6_ifreq mark = { .prefix = 128, .index = LOOPBACK_INDEX };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done;

	if (fd < 0)
		return false;
	inet_pton(AF_INET6, mark_address, &mark.address);
	done = ioctl(fd, request, &mark) == 0;
	close(fd);
	return done;
}

int make_netns(const char *path, bool mark)
{
	char *folder = text("%s", path);
	int fd;

	check_path(path);
	/* After the end of its caller nobody would know of what is made. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	*strrchr(folder, '/') = '\0';
	share_netns_folder(folder);
	fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		fail("cannot make %s: %s", path, strerror(errno));
	close(fd);
	if (unshare(CLONE_NEWNET) != 0) {
		int error = errno;

		unlink(path);
		fail("cannot make a network namespace: %s", strerror(error));
	}
	bring_up_loopback();
	if (mark)
		change_mark(SIOCSIFADDR);
	/* Last: what is pinned is whole. */
	if (mount("/proc/self/ns/net", path, "none", MS_BIND, NULL) != 0) {
		int error = errno;

		unlink(path);
		fail("cannot pin a network namespace at %s: %s", path, strerror(error));
	}
	return 0;
}

int remove_netns(const char *path)
{
	check_path(path);
	/* It may be pinned more than once when the folder became a mount of its own meanwhile. */
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		fail("cannot release %s: %s", path, strerror(errno));
	if (unlink(path) != 0 && errno != ENOENT)
		fail("cannot remove %s: %s", path, strerror(errno));
	return 0;
}

int look_at_netns(const char *path)
{
	int fd;

	check_path(path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		fail("cannot enter %s: %s", path, strerror(errno));
	return printf("{\"ipv6\":%s}\n",
		      !has_ipv6() || change_mark(SIOCDIFADDR) ? "true" : "false") < 0;
}

void join_netns(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "path", NULL };
	const char *path = get_text(op, "path", where);
	yyjson_mut_val *namespaces =
		yyjson_mut_doc_ptr_get(spec, "/linux/namespaces");
	size_t index, max;
	yyjson_mut_val *one;

	only_keys(op, keys, where);
	if (!is_namespace(path))
		fail("the network namespace %s does not exist where containers are started", path);
	yyjson_mut_arr_foreach(namespaces, index, max, one) {
		if (!yyjson_mut_equals_str(yyjson_mut_obj_get(one, "type"), "network"))
			continue;
		yyjson_mut_obj_put(one, yyjson_mut_str(spec, "path"), yyjson_mut_strcpy(spec, path));
		return;
	}
	fail("%s cannot be applied: the container has no network namespace of its own", where);
}
