#ifndef DOCKLINE_FILES_H
#define DOCKLINE_FILES_H

#include <stddef.h>
#include <sys/stat.h>

/* Where Dockline writes the edits; without a slash at its end. */
extern const char *edits_folder;

/* The whole of an open file, NUL-terminated; fails the start beyond `limit` bytes. */
char *read_all(int fd, const char *name, size_t limit, size_t *size);

/* The same by path; NULL when it does not exist. */
char *read_file(const char *path, size_t limit, size_t *size);

/* Replaces the file in one step, keeping mode and owner of `like`. */
void replace_file(const char *path, const struct stat *like, const char *bytes, size_t size);

/* The edits of one container: only root's own file, not writable or readable by anyone else. */
char *read_edits(const char *id, size_t *size);

#endif
