#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

const char *edits_folder = "/run/dockline/oci";

enum { EDITS_LIMIT = 4 << 20 };

char *read_all(int fd, const char *name, size_t limit, size_t *size)
{
	size_t room = 16384, used = 0;
	char *bytes = malloc(room + 1);

	for (;;) {
		ssize_t n;

		if (bytes == NULL)
			fail("out of memory");
		n = read(fd, bytes + used, room - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail("cannot read %s: %s", name, strerror(errno));
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > limit)
			fail("%s is larger than %zu bytes", name, limit);
		if (used == room)
			bytes = realloc(bytes, (room *= 2) + 1);
	}
	bytes[used] = '\0';
	*size = used;
	return bytes;
}

char *read_file(const char *path, size_t limit, size_t *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *bytes;

	if (fd < 0 && errno == ENOENT)
		return NULL;
	if (fd < 0)
		fail("cannot open %s: %s", path, strerror(errno));
	bytes = read_all(fd, path, limit, size);
	close(fd);
	return bytes;
}

void replace_file(const char *path, const struct stat *like, const char *bytes, size_t size)
{
	char *temporary = text("%s.dockline", path);
	int fd;

	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		fail("cannot write %s: %s", temporary, strerror(errno));
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int cause = errno;

			unlink(temporary);
			fail("cannot write %s: %s", temporary, strerror(cause));
		}
		done += (size_t)n;
	}
	if (fchown(fd, like->st_uid, like->st_gid) != 0 || fchmod(fd, like->st_mode & 07777) != 0 ||
	    close(fd) != 0 || rename(temporary, path) != 0) {
		int cause = errno;

		unlink(temporary);
		fail("cannot replace %s: %s", path, strerror(cause));
	}
}

char *read_edits(const char *id, size_t *size)
{
	char *path = text("%s/%s.json", edits_folder, id);
	struct stat st;
	char *bytes;
	int fd;

	if (lstat(edits_folder, &st) == 0 &&
	    (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0))
		fail("%s must be a folder of root that nobody else can write to", edits_folder);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		fail("no edits for container %.12s: %s does not exist; containers of this runtime are "
		     "started by Dockline only",
		     id, path);
	if (fd < 0)
		fail("cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) != 0)
		fail("cannot stat %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0 || st.st_nlink != 1)
		fail("%s must be a plain file of root with mode 0600", path);
	bytes = read_all(fd, path, EDITS_LIMIT, size);
	close(fd);
	return bytes;
}
