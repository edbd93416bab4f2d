#define _GNU_SOURCE
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "report.h"

static const char where[] = "edits.cgroupWrites";

/* One component of a path, and no control file of the cgroup itself (procs, freeze, kill). */
static int is_file_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
	       strncmp(name, "cgroup.", 7) != 0 && strlen(name) < 256;
}

yyjson_val *check_cgroup_writes(yyjson_val *edits)
{
	static const char *const keys[] = { "controller", "file", "value", "optional", NULL };
	yyjson_val *writes = yyjson_obj_get(edits, "cgroupWrites"), *entry;
	size_t index, max;

	if (writes == NULL)
		return NULL;
	if (!yyjson_is_arr(writes))
		fail("%s must be a list", where);
	yyjson_arr_foreach(writes, index, max, entry) {
		only_keys(entry, keys, where);
		if (!is_file_name(get_text(entry, "controller", where)) ||
		    !is_file_name(get_text(entry, "file", where)))
			fail("%s: %s of %s is not a cgroup's file", where,
			     get_text(entry, "file", where), get_text(entry, "controller", where));
		get_text(entry, "value", where);
	}
	return yyjson_arr_size(writes) == 0 ? NULL : writes;
}

static int lists(const char *controllers, size_t length, const char *name)
{
	size_t wanted = strlen(name);

	for (size_t start = 0; start + wanted <= length; start++)
		if ((start == 0 || controllers[start - 1] == ',') &&
		    strncmp(controllers + start, name, wanted) == 0 &&
		    (start + wanted == length || controllers[start + wanted] == ','))
			return 1;
	return 0;
}

/* The cgroup's folder from /proc/<pid>/cgroup: the controller's own hierarchy (v1), else v2's. */
static char *folder_of(const char *membership, const char *controller)
{
	const char *line = membership;
	char *unified = NULL;

	while (line != NULL && *line != '\0') {
		const char *controllers = strchr(line, ':'), *path, *end = strchr(line, '\n');

		if (controllers == NULL || (path = strchr(++controllers, ':')) == NULL)
			break;
		size_t length = end == NULL ? strlen(path + 1) : (size_t)(end - path - 1);

		if (lists(controllers, (size_t)(path - controllers), controller))
			return text("/sys/fs/cgroup/%s%.*s", controller, (int)length, path + 1);
		if (path == controllers)
			unified = text("/sys/fs/cgroup%.*s", (int)length, path + 1);
		line = end == NULL ? NULL : end + 1;
	}
	return unified;
}

static const char *write_one(yyjson_val *entry, const char *membership)
{
	const char *file = get_text(entry, "file", where), *value = get_text(entry, "value", where);
	const char *folder = folder_of(membership, get_text(entry, "controller", where));
	const char *path = text("%s/%s", folder == NULL ? "/sys/fs/cgroup" : folder, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (fd < 0 && errno == ENOENT && yyjson_is_true(yyjson_obj_get(entry, "optional")))
		return NULL;
	if (fd < 0)
		return text("cannot open %s: %s", path, strerror(errno));
	/* In one write: each is a value of its own to the kernel. */
	written = write(fd, value, strlen(value));
	if (written < 0)
		return text("cannot write %s to %s: %s", value, path, strerror(errno));
	close(fd);
	return NULL;
}

const char *write_cgroups(yyjson_val *writes, const char *pid_file)
{
	size_t size, index, max;
	char *pid = pid_file == NULL ? NULL : read_file(pid_file, 64, &size);
	char *membership =
		pid == NULL ? NULL : read_file(text("/proc/%ld/cgroup", strtol(pid, NULL, 10)), 65536, &size);
	yyjson_val *entry;

	if (membership == NULL)
		return "cannot write to the container's cgroups: its first process is not known";
	yyjson_arr_foreach(writes, index, max, entry) {
		const char *sentence = write_one(entry, membership);

		if (sentence != NULL)
			return sentence;
	}
	return NULL;
}
