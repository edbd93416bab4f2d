#ifndef DOCKLINE_ARGUMENTS_H
#define DOCKLINE_ARGUMENTS_H

/* The command line of an OCI runtime as containerd's shim calls it. */
struct arguments {
	const char *verb;
	const char *log;
	const char *log_format;
	/* Where the verb is in the real runtime's argv. */
	int verb_at;
	/* Of create. */
	const char *bundle;
	const char *pid_file;
	/* Of create and delete. */
	const char *id;
};

/*
 * Reads argv from `first` on. Fails the start rather than take a wrong word for the verb: a create
 * that is not seen as one would start a container without its edits.
 */
void read_arguments(int argc, char **argv, int first, struct arguments *arguments);

#endif
