#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "json.h"
#include "report.h"

enum { FEATURES_LIMIT = 1 << 20 };

static const char *runtime;
static struct stat runtime_file;
static yyjson_val *features;
static bool features_read;

void find_runtime(const char *name)
{
	const char *path = getenv("PATH");
	char *rest = text("%s", path != NULL ? path : "/usr/sbin:/usr/bin:/sbin:/bin"), *folder;
	struct stat own;

	if (strchr(name, '/') != NULL)
		runtime = name;
	while (runtime == NULL && (folder = strsep(&rest, ":")) != NULL) {
		const char *candidate = text("%s/%s", folder, name);

		if (folder[0] == '/' && access(candidate, X_OK) == 0)
			runtime = candidate;
	}
	if (runtime == NULL)
		fail("the real runtime %s is not on PATH", name);
	if (stat(runtime, &runtime_file) != 0 || access(runtime, X_OK) != 0)
		fail("the real runtime %s cannot be run: %s", runtime, strerror(errno));
	if (stat("/proc/self/exe", &own) == 0 && own.st_dev == runtime_file.st_dev &&
	    own.st_ino == runtime_file.st_ino)
		fail("the real runtime %s is dockline-oci itself", runtime);
}

void become_runtime(char **argv)
{
	argv[0] = (char *)runtime;
	execv(runtime, argv);
	fail("the real runtime %s cannot be run: %s", runtime, strerror(errno));
}

static int wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			fail("cannot wait for %s: %s", runtime, strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_runtime(char **argv)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		fail("cannot start a process: %s", strerror(errno));
	if (child == 0) {
		on_failure(NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		become_runtime(argv);
	}
	return wait_for(child);
}

static char *ask_features(size_t *size)
{
	char *argv[] = { (char *)runtime, "features", NULL }, *bytes;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0)
		fail("cannot start a process: %s", strerror(errno));
	if (child == 0) {
		int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(nothing, STDIN_FILENO);
		dup2(nothing, STDERR_FILENO);
		dup2(ends[1], STDOUT_FILENO);
		execv(runtime, argv);
		_exit(127);
	}
	close(ends[1]);
	bytes = read_all(ends[0], "the real runtime's features", FEATURES_LIMIT, size);
	close(ends[0]);
	return wait_for(child) == 0 ? bytes : NULL;
}

/* The answer is cached beside the edits, under a key that changes with the runtime's file: asking the
   runtime takes longer than everything else that is done here. */
static void read_features(void)
{
	const struct timespec *changed = &runtime_file.st_mtim;
	const char *path = text("%s/.features-%llx-%llx-%lld-%ld-%lld", edits_folder,
				(unsigned long long)runtime_file.st_dev,
				(unsigned long long)runtime_file.st_ino, (long long)changed->tv_sec,
				changed->tv_nsec, (long long)runtime_file.st_size);
	const struct stat private = { .st_mode = 0600 };
	size_t size;
	char *bytes = read_file(path, FEATURES_LIMIT, &size);
	yyjson_doc *doc = bytes == NULL ? NULL : yyjson_read(bytes, size, 0);

	features_read = true;
	if (doc == NULL) {
		bytes = ask_features(&size);
		doc = bytes == NULL ? NULL : yyjson_read(bytes, size, 0);
		if (doc != NULL)
			replace_file(path, &private, bytes, size);
	}
	features = doc == NULL ? NULL : yyjson_doc_get_root(doc);
}

yyjson_val *runtime_features(void)
{
	if (!features_read)
		read_features();
	return features;
}

bool runtime_lists(const char *pointer, const char *name)
{
	yyjson_val *list = yyjson_ptr_get(runtime_features(), pointer), *value;
	size_t index, max;

	yyjson_arr_foreach(list, index, max, value) {
		if (yyjson_equals_str(value, name))
			return true;
	}
	return false;
}

bool runtime_supports(const char *option)
{
	/* What every OCI runtime turns into mount(2) flags. */
	static const char *const certain[] = { "ro",	  "rw",	     "nosuid",	   "suid",  "nodev",
					       "dev",	  "noexec",  "exec",	   "bind",  "rbind",
					       "private", "rprivate", "slave",	   "rslave", "shared",
					       "rshared", "noatime", "relatime", NULL };

	for (const char *const *name = certain; *name != NULL; name++)
		if (strcmp(*name, option) == 0)
			return true;
	return runtime_lists("/mountOptions", option);
}

bool runtime_maps_mounts(void)
{
	return yyjson_is_true(yyjson_ptr_get(runtime_features(), "/linux/mountExtensions/idmap/enabled"));
}
