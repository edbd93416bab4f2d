#include "arguments.h"

#include <stddef.h>
#include <string.h>

#include "report.h"

static const char *const global_with_value[] = { "root", "log", "log-format", "criu", "rootless",
						 "cgroup-manager", NULL };
static const char *const global_alone[] = { "debug", "systemd-cgroup", "help", "h", "version", "v",
					    NULL };
static const char *const create_with_value[] = { "bundle", "b",	   "console-socket", "pid-file",
						 "pidfd-socket", "preserve-fds", NULL };
static const char *const create_alone[] = { "no-pivot", "no-new-keyring", "no-subreaper", NULL };

static int is_one_of(const char *name, size_t length, const char *const *names)
{
	for (; *names != NULL; names++)
		if (strlen(*names) == length && strncmp(*names, name, length) == 0)
			return 1;
	return 0;
}

/* Reads the flag at *index, leaving it on the flag's last word. Returns 0 when it is unknown. */
static int read_flag(int argc, char **argv, int *index, const char *const *with_value,
		     const char *const *alone, const char **name, size_t *length, const char **value)
{
	const char *flag = argv[*index] + (argv[*index][1] == '-' ? 2 : 1);
	const char *equals = strchr(flag, '=');

	*name = flag;
	*length = equals == NULL ? strlen(flag) : (size_t)(equals - flag);
	*value = equals == NULL ? NULL : equals + 1;
	if (is_one_of(flag, *length, alone))
		return 1;
	if (!is_one_of(flag, *length, with_value))
		return 0;
	if (equals == NULL && *index + 1 < argc)
		*value = argv[++*index];
	return *value != NULL;
}

static int is(const char *name, size_t length, const char *word)
{
	return strlen(word) == length && strncmp(name, word, length) == 0;
}

/* No dot: the id is a file's name here, and dots are for names of this program's own. */
static int is_id(const char *id)
{
	size_t length = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return length > 0 && length <= 128 && id[length] == '\0';
}

static void check_id(const char *id)
{
	if (!is_id(id))
		fail("\"%.128s\" is not the id of a Docker container", id);
}

static void read_create(int argc, char **argv, int index, struct arguments *arguments)
{
	const char *name, *value;
	size_t length;

	arguments->bundle = ".";
	for (; index < argc; index++) {
		if (argv[index][0] != '-') {
			if (arguments->id != NULL)
				fail("create was called with more than one id");
			arguments->id = argv[index];
			continue;
		}
		if (!read_flag(argc, argv, &index, create_with_value, create_alone, &name, &length,
			       &value))
			fail("create was called with the unknown flag %s", argv[index]);
		if (is(name, length, "bundle") || is(name, length, "b"))
			arguments->bundle = value;
		else if (is(name, length, "pid-file"))
			arguments->pid_file = value;
	}
	if (arguments->id == NULL)
		fail("create was called without an id");
	check_id(arguments->id);
}

void read_arguments(int argc, char **argv, int first, struct arguments *arguments)
{
	const char *unknown = NULL, *name, *value;
	size_t length;
	int index = first;

	memset(arguments, 0, sizeof(*arguments));
	for (; index < argc && argv[index][0] == '-'; index++) {
		if (!read_flag(argc, argv, &index, global_with_value, global_alone, &name, &length,
			       &value))
			unknown = argv[index];
		else if (is(name, length, "log"))
			arguments->log = value;
		else if (is(name, length, "log-format"))
			arguments->log_format = value;
	}
	report_to(arguments->log, arguments->log_format);
	if (unknown != NULL)
		for (int i = first; i < argc; i++)
			if (strcmp(argv[i], "create") == 0 || strcmp(argv[i], "run") == 0 ||
			    strcmp(argv[i], "restore") == 0)
				fail("called with the unknown flag %s", unknown);
	if (index == argc)
		return;
	arguments->verb = argv[index];
	arguments->verb_at = index - first + 1;
	if (strcmp(arguments->verb, "create") == 0)
		read_create(argc, argv, index + 1, arguments);
	if (strcmp(arguments->verb, "delete") == 0 && index + 1 < argc && is_id(argv[argc - 1]))
		arguments->id = argv[argc - 1];
}
