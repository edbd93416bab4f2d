#ifndef DOCKLINE_PROBE_H
#define DOCKLINE_PROBE_H

/*
 * Tries whether containers with a user namespace can work: the real runtime maps mounts, and an
 * overlay with an id-mapped layer on the file system of `folder` (Docker's data root) shows mapped
 * owners. Prints {"userNamespaces":true} or {"userNamespaces":false} with a sentence on stderr.
 * Returns the exit status.
 */
int probe(const char *folder);

#endif
