#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "report.h"
#include "userns.h"

static const char *folder, *rootfs;
static pid_t keeper;
static int keeper_end = -1;

const char *claimed_folder(void)
{
	return folder;
}

static void unmount(void)
{
	while (umount2(rootfs, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

static void clear(void)
{
	unmount();
	rmdir(rootfs);
	rmdir(folder);
}

/*
 * Lives as long as the runtime does and clears the folder should it be killed. It shares the lock,
 * so that a start which follows at once waits until that is done. Nothing of the caller's stays
 * open in it: the shim waits for the end of the runtime's output.
 */
static void keep(int end, int lock)
{
	int nothing = open("/dev/null", O_RDWR);
	char done;
	ssize_t n;

	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* Out of the way first: the numbers may be any, also 3 and 4. */
	end = fcntl(end, F_DUPFD, 16);
	lock = fcntl(lock, F_DUPFD, 16);
	if (chdir("/") != 0 || nothing < 0 || dup2(end, 3) < 0 || dup2(lock, 4) < 0)
		_exit(1);
	for (int fd = 0; fd < 3; fd++)
		dup2(nothing, fd);
	if (syscall(SYS_close_range, 5, ~0U, 0) != 0)
		_exit(1);
	while ((n = read(3, &done, 1)) < 0 && errno == EINTR)
		;
	if (n != 1)
		clear();
	_exit(0);
}

static void start_keeper(int lock)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0 || (keeper = fork()) < 0)
		fail("cannot start a process: %s", strerror(errno));
	if (keeper == 0) {
		close(ends[1]);
		keep(ends[0], lock);
	}
	close(ends[0]);
	keeper_end = ends[1];
}

/* Only others' right to pass is asked for: the namespace's root is nobody special on these folders. */
static void check_passage(void)
{
	char *path = text("%s", edits_folder);
	struct stat st;

	for (char *end = path + strlen(path); end != path; end = strrchr(path, '/')) {
		*end = '\0';
		if (stat(path, &st) != 0)
			fail("cannot stat %s: %s", path, strerror(errno));
		if ((st.st_mode & 1) == 0)
			fail("%s must have mode 0711: the pod's user namespace has to reach its root in it",
			     path);
	}
}

const char *claim_folder(const char *id)
{
	struct timespec moment = { .tv_nsec = 20 * 1000 * 1000 };
	struct stat held, named;

	check_passage();
	folder = text("%s/%s", edits_folder, id);
	rootfs = text("%s/rootfs", folder);
	/* A holder removes the folder as it ends: what was locked must still be what the name says. */
	for (int tries = 0; tries < 250; tries++) {
		int lock;

		if (mkdir(folder, 0711) != 0 && errno != EEXIST)
			fail("cannot make %s: %s", folder, strerror(errno));
		lock = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && fstat(lock, &held) == 0 &&
		    stat(folder, &named) == 0 && held.st_ino == named.st_ino) {
			unmount();
			if (mkdir(rootfs, 0711) != 0 && errno != EEXIST)
				fail("cannot make %s: %s", rootfs, strerror(errno));
			start_keeper(lock);
			on_failure(release_folder);
			return rootfs;
		}
		if (lock >= 0)
			close(lock);
		nanosleep(&moment, NULL);
	}
	fail("%s is in use by another start of the same container", folder);
}

static void end_keeper(void)
{
	if (keeper_end < 0)
		return;
	if (send(keeper_end, "", 1, MSG_NOSIGNAL) == 1)
		while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR)
			;
	close(keeper_end);
	keeper_end = -1;
}

void unmount_folder(void)
{
	unmount();
	end_keeper();
}

void release_folder(void)
{
	clear();
	end_keeper();
}

int has_folder(const char *id)
{
	folder = text("%s/%s", edits_folder, id);
	rootfs = text("%s/rootfs", folder);
	return access(folder, F_OK) == 0;
}
