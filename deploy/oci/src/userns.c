#define _GNU_SOURCE
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "report.h"

static unsigned long long start_ticks(int pid)
{
	size_t size;
	char *stat = read_file(text("/proc/%d/stat", pid), 4096, &size);
	/* The name may hold anything, closing parentheses too: count from the last one. */
	char *rest = stat == NULL ? NULL : strrchr(stat, ')');
	unsigned long long ticks;

	if (rest == NULL ||
	    sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &ticks) != 1)
		fail("the pod's pause process %d is gone", pid);
	return ticks;
}

static void check_map(int pid, const char *kind, const struct user_namespace *wanted)
{
	size_t size;
	char *map = read_file(text("/proc/%d/%s", pid, kind), 4096, &size);
	unsigned inside, outside, count;
	int used = 0;

	if (map == NULL || sscanf(map, " %u %u %u %n", &inside, &outside, &count, &used) != 3 ||
	    map[used] != '\0' || inside != 0 || outside != wanted->host_id ||
	    count != wanted->size)
		fail("the user namespace of the pod's pause process %d does not map 0 to %u for %u ids",
		     pid, wanted->host_id, wanted->size);
}

static int join_user_namespace(const struct user_namespace *wanted)
{
	int pid = wanted->join_pid;
	int fd = open(text("/proc/%d/ns/user", pid), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("the pod's pause process %d is gone: %s", pid, strerror(errno));
	/* After the open: a pid that was reused before it shows here. */
	check_map(pid, "uid_map", wanted);
	check_map(pid, "gid_map", wanted);
	if (start_ticks(pid) != wanted->join_start_ticks)
		fail("the pod's pause process %d is gone and its pid belongs to another", pid);
	return fd;
}

static void write_map(int pid, const char *kind, const struct user_namespace *wanted)
{
	int fd = open(text("/proc/%d/%s", pid, kind), O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "0 %u %u\n", wanted->host_id, wanted->size) < 0)
		fail("cannot write the %s of a user namespace: %s", kind, strerror(errno));
	close(fd);
}

pid_t start_inside(int join_fd)
{
	pid_t child, parent = getpid();
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC) != 0 || (child = fork()) < 0)
		fail("cannot start a process: %s", strerror(errno));
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent ||
		    (join_fd < 0 ? unshare(CLONE_NEWUSER) : setns(join_fd, CLONE_NEWUSER)) != 0)
			_exit(1);
		/* Entering a namespace takes the signal back. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent && write(ready[1], "", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		fail(join_fd < 0 ?
			     "cannot make a user namespace; see /proc/sys/user/max_user_namespaces" :
			     "cannot join the user namespace of the pod's pause process");
	close(ready[0]);
	return child;
}

void end_inside(pid_t child)
{
	kill(child, SIGKILL);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}

int open_user_namespace(const struct user_namespace *wanted)
{
	pid_t child;
	int fd;

	if (wanted->join_pid != 0)
		return join_user_namespace(wanted);
	child = start_inside(-1);
	write_map(child, "uid_map", wanted);
	write_map(child, "gid_map", wanted);
	fd = open(text("/proc/%d/ns/user", child), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("cannot open a user namespace: %s", strerror(errno));
	end_inside(child);
	return fd;
}
