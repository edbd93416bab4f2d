#ifndef DOCKLINE_PROBE_H
#define DOCKLINE_PROBE_H

/*
 * Tries whether containers with a user namespace can work: the real runtime maps mounts, the kernel
 * maps tmpfs, and an overlay with an id-mapped layer on the file system of `folder` (Docker's data
 * root) shows mapped owners; and whether read-only mounts can be made recursive. Prints
 * {"userNamespaces":…,"recursiveReadOnly":…}, with a sentence on stderr where the first is false.
 * Returns the exit status.
 */
int probe(const char *folder);

#endif
