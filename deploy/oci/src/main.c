/*
 * An OCI runtime in front of the real one: on `create` it edits the spec as Dockline wrote down for
 * the container, every other verb is handed through. See README.md for the format of the edits.
 *
 * Nothing is freed and some descriptors stay open: the process ends or becomes the real runtime.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arguments.h"
#include "cgroup.h"
#include "edits.h"
#include "files.h"
#include "netns.h"
#include "probe.h"
#include "report.h"
#include "requires.h"
#include "runtime.h"
#include "userns.h"

enum { CONFIG_LIMIT = 16 << 20 };

static void write_spec(const char *path, const struct stat *like, yyjson_mut_doc *spec)
{
	size_t size;
	yyjson_write_err error;
	char *bytes = yyjson_mut_write_opts(spec, 0, NULL, &size, &error);

	if (bytes == NULL)
		fail("cannot write the edited %s: %s", path, error.msg);
	replace_file(path, like, bytes, size);
}

static char *root_of(yyjson_mut_doc *spec, const char *bundle)
{
	const char *path = yyjson_mut_get_str(yyjson_mut_doc_ptr_get(spec, "/root/path"));
	char *real;

	if (path == NULL)
		fail("config.json has no root.path");
	real = realpath(path[0] == '/' ? path : text("%s/%s", bundle, path), NULL);
	if (real == NULL)
		fail("the container's root %s cannot be found", path);
	return real;
}

/*
 * Runs create of the real runtime and what has to be done before the container's process goes on.
 * Returns its exit status.
 */
static int run_create(const struct arguments *arguments, yyjson_val *edits, char **argv)
{
	yyjson_val *writes = check_cgroup_writes(edits);
	int status = run_runtime(argv), globals = arguments->verb_at;
	const char *sentence;
	char **delete_argv;

	if (status != 0 || writes == NULL)
		return status;
	sentence = write_cgroups(writes, arguments->pid_file);
	if (sentence == NULL)
		return 0;
	delete_argv = calloc((size_t)globals + 4, sizeof(char *));
	if (delete_argv != NULL) {
		memcpy(delete_argv, argv, (size_t)globals * sizeof(char *));
		delete_argv[globals] = "delete";
		delete_argv[globals + 1] = "--force";
		delete_argv[globals + 2] = (char *)arguments->id;
		run_runtime(delete_argv);
	}
	fail("%s", sentence);
}

/* Returns the exit status of the real runtime. */
static int create_in_user_namespace(const struct arguments *arguments, yyjson_val *edits,
				    yyjson_mut_doc *spec, const struct user_namespace *wanted,
				    const char *config, const struct stat *like, char **argv)
{
	char *root = root_of(spec, arguments->bundle);
	struct overlay overlay;
	const char *mounted, *join_path = NULL;
	pid_t holder = 0;
	int fd, status;

	if (!runtime_maps_mounts())
		fail("the real runtime does not map the ids of mounts; user namespaces need runc 1.2 or "
		     "crun 1.9");
	read_overlay(root, &overlay);
	fd = open_user_namespace(wanted);
	/* Through a child of ours in it, so that the namespace is the one that was checked even when the
	   pause process ends now. runc refuses a path that has not this form. */
	if (wanted->join_pid != 0) {
		holder = start_inside(fd);
		join_path = text("/proc/%d/ns/user", holder);
	}
	mounted = claim_folder(arguments->id);
	edit_user_namespace(edits, spec, wanted, join_path, mounted);
	write_spec(config, like, spec);
	mount_root(root, &overlay, fd, wanted);
	status = run_create(arguments, edits, argv);
	if (status == 0)
		unmount_folder();
	else
		release_folder();
	if (holder > 0)
		end_inside(holder);
	return status;
}

/* Handed through like all but create; only the folder that exec needed goes with the container. */
static void delete(const struct arguments *arguments, char **argv)
{
	int status;

	if (arguments->id == NULL || !has_folder(arguments->id))
		become_runtime(argv);
	status = run_runtime(argv);
	if (status == 0)
		release_folder();
	_exit(status);
}

static void create(const struct arguments *arguments, char **argv)
{
	struct user_namespace wanted;
	struct stat like;
	size_t edits_size, config_size;
	char *edits_bytes = read_edits(arguments->id, &edits_size), *config_bytes;
	yyjson_val *edits = yyjson_doc_get_root(parse_json(edits_bytes, edits_size, "the edits file"));
	const char *config = text("%s/config.json", arguments->bundle);
	yyjson_mut_doc *spec;

	check_edits(edits, arguments->id);
	check_cgroup_writes(edits);
	check_requires(edits);
	config_bytes = read_file(config, CONFIG_LIMIT, &config_size);
	if (config_bytes == NULL || stat(config, &like) != 0)
		fail("%s does not exist", config);
	spec = yyjson_doc_mut_copy(parse_json(config_bytes, config_size, config), NULL);
	if (spec == NULL)
		fail("out of memory");
	apply_edits(edits, spec, runtime_supports);
	if (wants_user_namespace(edits, &wanted))
		_exit(create_in_user_namespace(arguments, edits, spec, &wanted, config, &like, argv));
	write_spec(config, &like, spec);
	if (check_cgroup_writes(edits) != NULL)
		_exit(run_create(arguments, edits, argv));
	become_runtime(argv);
}

/* The id is appended to it, and folders on the way to it are found by its slashes. */
static void check_edits_folder(void)
{
	const char *path = edits_folder;

	if (path[0] != '/' || path[strlen(path) - 1] == '/' || strstr(path, "//") != NULL)
		fail("--edits=%s is not an absolute path without a slash at its end", path);
}

int main(int argc, char **argv)
{
	const char *real_runtime = "runc", *probed = NULL;
	struct arguments arguments;
	int first = 1;

	for (; first < argc; first++) {
		if (strncmp(argv[first], "--real-runtime=", 15) == 0)
			real_runtime = argv[first] + 15;
		else if (strncmp(argv[first], "--edits=", 8) == 0)
			edits_folder = argv[first] + 8;
		else if (strncmp(argv[first], "--dockline-probe=", 17) == 0)
			probed = argv[first] + 17;
		else if (strcmp(argv[first], "--dockline-version") == 0)
			return printf("{\"edits\":1,\"operations\":[\"listPut\",\"listDrop\","
				      "\"envDrop\",\"sortMounts\",\"requires\",\"networkNamespace\"]}\n") < 0;
		else if (strncmp(argv[first], "--dockline-netns-share=", 23) == 0)
			return share_netns_folder(argv[first] + 23);
		else if (strncmp(argv[first], "--dockline-netns-make=", 22) == 0)
			return make_netns(argv[first] + 22, false);
		else if (strncmp(argv[first], "--dockline-netns-mark=", 22) == 0)
			return make_netns(argv[first] + 22, true);
		else if (strncmp(argv[first], "--dockline-netns-look=", 22) == 0)
			return look_at_netns(argv[first] + 22);
		else if (strncmp(argv[first], "--dockline-netns-remove=", 24) == 0)
			return remove_netns(argv[first] + 24);
		else
			break;
	}
	read_arguments(argc, argv, first, &arguments);
	check_edits_folder();
	find_runtime(real_runtime);
	if (probed != NULL)
		return probe(probed);
	if (arguments.verb != NULL && strcmp(arguments.verb, "create") == 0)
		create(&arguments, argv + first - 1);
	if (arguments.verb != NULL && strcmp(arguments.verb, "delete") == 0)
		delete(&arguments, argv + first - 1);
	if (arguments.verb != NULL &&
	    (strcmp(arguments.verb, "run") == 0 || strcmp(arguments.verb, "restore") == 0))
		fail("%s is not supported: it would start a container without its edits",
		     arguments.verb);
	become_runtime(argv + first - 1);
}
