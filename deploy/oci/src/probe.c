#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"
#include "runtime.h"
#include "userns.h"

static const char *place;
static bool recursive_read_only;

static void clean(void)
{
	static const char *const names[] = { "lower/file", "lower",	 "upper", "work/work",
					     "work/index", "work",	 "mount", "" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *path = text("%s/%s", place, names[i]);

		if (unlink(path) != 0)
			rmdir(path);
	}
}

static void answer(bool user_namespaces)
{
	char *features = yyjson_val_write(runtime_features(), 0, NULL);

	printf("{\"userNamespaces\":%s,\"recursiveReadOnly\":%s,\"features\":%s}\n",
	       user_namespaces ? "true" : "false", recursive_read_only ? "true" : "false",
	       features == NULL ? "null" : features);
	fflush(stdout);
}

static void clean_and_answer(void)
{
	if (place != NULL)
		clean();
	answer(false);
}

int probe(const char *folder)
{
	static const char *const folders[] = { "lower", "upper", "work", "mount" };
	const struct user_namespace wanted = { .host_id = 65536, .size = 65536 };
	struct overlay overlay = { .lowers = 1, .others = "" };
	struct stat st;
	int fd, tree;

	recursive_read_only = runtime_supports("rro") && sets_attributes_recursively();
	on_failure(clean_and_answer);
	if (!runtime_maps_mounts())
		fail("the real runtime does not map the ids of mounts; user namespaces need runc 1.2 or "
		     "crun 1.9");
	place = mkdtemp(text("%s/dockline-probe-XXXXXX", folder));
	if (place == NULL)
		fail("cannot write to %s: %s", folder, strerror(errno));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (mkdir(text("%s/%s", place, folders[i]), 0755) != 0)
			fail("cannot write to %s: %s", place, strerror(errno));
	overlay.lower[0] = text("%s/lower", place);
	overlay.upper = text("%s/upper", place);
	overlay.work = text("%s/work", place);
	fd = open(text("%s/file", overlay.lower[0]), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		fail("cannot write to %s: %s", place, strerror(errno));
	close(fd);
	fd = open_user_namespace(&wanted);
	if (!tmpfs_maps_ids(fd))
		fail("the kernel cannot id-map volumes on tmpfs (it can from 6.3 on)");
	tree = detached_overlay(text("%s/mount", place), &overlay, fd, NULL);
	if (fstatat(tree, "file", &st, 0) != 0 || st.st_uid != wanted.host_id)
		fail("an overlay with id-mapped layers does not show mapped owners");
	close(tree);
	on_failure(NULL);
	clean();
	answer(true);
	return 0;
}
