#define _GNU_SOURCE
#include "edits.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"
#include "netns.h"
#include "lists.h"
#include "report.h"

typedef void operation(yyjson_val *op, yyjson_mut_doc *spec, const char *where);

static bool (*mount_option_supported)(const char *option);

static yyjson_val *need_value(yyjson_val *op, const char *key, const char *where)
{
	yyjson_val *value = yyjson_obj_get(op, key);

	if (value == NULL)
		fail("%s has no %s", where, key);
	return value;
}

static yyjson_val *need_list(yyjson_val *op, const char *key, const char *where)
{
	yyjson_val *list = need_value(op, key, where);

	if (!yyjson_is_arr(list))
		fail("%s.%s must be a list", where, key);
	return list;
}

static void set(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "path", "value", NULL };
	const char *path = get_text(op, "path", where);

	only_keys(op, keys, where);
	if (!yyjson_mut_doc_ptr_set(spec, path, yyjson_val_mut_copy(spec, need_value(op, "value", where))))
		fail("%s cannot be applied: nothing can be set at %s of config.json", where, path);
}

static void append(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "path", "values", NULL };
	const char *path = get_text(op, "path", where);
	yyjson_val *values = need_list(op, "values", where), *value;
	yyjson_mut_val *list;
	size_t index, max;

	only_keys(op, keys, where);
	list = list_at(spec, path, true, where);
	yyjson_arr_foreach(values, index, max, value) {
		if (!yyjson_mut_arr_append(list, yyjson_val_mut_copy(spec, value)))
			fail("out of memory");
	}
}

static void drop(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "path", NULL };

	only_keys(op, keys, where);
	yyjson_mut_doc_ptr_remove(spec, get_text(op, "path", where));
}

static void set_env(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "name", "value", NULL };
	const char *name = get_text(op, "name", where);
	const char *pair = text("%s=%s", name, get_text(op, "value", where));
	yyjson_mut_val *root = yyjson_mut_doc_get_root(spec);
	yyjson_mut_val *env = need_array(spec, need_object(spec, root, "process"), "env");

	only_keys(op, keys, where);
	if (*name == '\0' || strchr(name, '=') != NULL)
		fail("%s.name is not a variable's name", where);
	array_drop(env, sets_variable, name);
	yyjson_mut_arr_add_str(spec, env, pair);
}

static bool applies_to(yyjson_mut_val *mount, const char *destination)
{
	return yyjson_mut_equals_str(yyjson_mut_obj_get(mount, "destination"), destination);
}

static bool is_text(yyjson_mut_val *entry, const void *text)
{
	return yyjson_mut_equals_str(entry, text);
}

static void edit_mount_options(yyjson_mut_val *options, yyjson_val *add, yyjson_val *removed,
			       yyjson_mut_doc *spec)
{
	size_t index, max;
	yyjson_val *value;

	yyjson_arr_foreach(removed, index, max, value) {
		array_drop(options, is_text, yyjson_get_str(value));
	}
	yyjson_arr_foreach(add, index, max, value) {
		if (!array_has(options, yyjson_get_str(value)))
			yyjson_mut_arr_append(options, yyjson_val_mut_copy(spec, value));
	}
}

static void mount_options(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "destination", "add", "remove", NULL };
	const char *destination = get_text(op, "destination", where);
	yyjson_val *add = need_list(op, "add", where), *removed = need_list(op, "remove", where);
	yyjson_mut_val *mounts =
		need_array(spec, yyjson_mut_doc_get_root(spec), "mounts");
	size_t index, max, found = 0;
	yyjson_val *value;
	yyjson_mut_val *mount;

	only_keys(op, keys, where);
	yyjson_arr_foreach(removed, index, max, value) {
		if (!yyjson_is_str(value))
			fail("%s.remove must be a list of strings", where);
	}
	yyjson_arr_foreach(add, index, max, value) {
		if (!yyjson_is_str(value))
			fail("%s.add must be a list of strings", where);
		if (!mount_option_supported(yyjson_get_str(value)))
			fail("the real runtime does not know the mount option \"%s\"",
			     yyjson_get_str(value));
	}
	yyjson_mut_arr_foreach(mounts, index, max, mount) {
		if (!applies_to(mount, destination))
			continue;
		found++;
		edit_mount_options(need_array(spec, mount, "options"), add, removed, spec);
	}
	if (found == 0)
		fail("%s cannot be applied: nothing is mounted at %s", where, destination);
}

static void ambient_capabilities(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "add", NULL };
	static const char *const sets[] = { "inheritable", "permitted", "effective", "ambient" };
	yyjson_val *add = need_list(op, "add", where), *value;
	yyjson_mut_val *process =
		need_object(spec, yyjson_mut_doc_get_root(spec), "process");
	yyjson_mut_val *capabilities = need_object(spec, process, "capabilities");
	size_t index, max;

	only_keys(op, keys, where);
	yyjson_arr_foreach(add, index, max, value) {
		const char *name = yyjson_get_str(value);

		if (name == NULL)
			fail("%s.add must be a list of strings", where);
		if (!array_has(yyjson_mut_obj_get(capabilities, "bounding"), name))
			fail("%s cannot be applied: the container does not have %s", where, name);
		/* An ambient capability must be permitted and inheritable; a user other than root has
		   neither from Docker. */
		for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
			yyjson_mut_val *list = need_array(spec, capabilities, sets[i]);

			if (!array_has(list, name))
				yyjson_mut_arr_add_strcpy(spec, list, name);
		}
	}
}

static bool may_lower_oom_score(void)
{
	enum { VERSION_3 = 0x20080522, CAP_SYS_RESOURCE = 24 };
	struct { uint32_t version; int pid; } header = { VERSION_3, 0 };
	struct { uint32_t effective, permitted, inheritable; } data[2] = { 0 };

	return syscall(SYS_capget, &header, data) == 0 &&
	       (data[0].effective & 1U << CAP_SYS_RESOURCE) != 0;
}

/* Below its own score only CAP_SYS_RESOURCE may go; runc then dies without saying why. */
static void oom_score_adj(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "value", NULL };
	yyjson_val *value = need_value(op, "value", where);
	const char *raw = yyjson_get_raw(value);
	char *end = NULL;
	long wanted = raw == NULL ? LONG_MAX : strtol(raw, &end, 10);
	yyjson_mut_val *process =
		need_object(spec, yyjson_mut_doc_get_root(spec), "process");
	size_t size;

	only_keys(op, keys, where);
	if (raw == NULL || end != raw + yyjson_get_len(value) || wanted < -1000 || wanted > 1000)
		fail("%s.value must be an integer from -1000 to 1000", where);
	if (!may_lower_oom_score()) {
		char *own = read_file("/proc/self/oom_score_adj", 64, &size);
		long floor = own == NULL ? 0 : strtol(own, NULL, 10);

		if (wanted < floor)
			wanted = floor;
	}
	yyjson_mut_obj_put(process, yyjson_mut_str(spec, "oomScoreAdj"),
			   yyjson_mut_int(spec, wanted));
}

static const struct {
	const char *name;
	operation *apply;
} operations[] = {
	{ "set", set },
	{ "append", append },
	{ "remove", drop },
	{ "env", set_env },
	{ "mountOptions", mount_options },
	{ "ambientCapabilities", ambient_capabilities },
	{ "oomScoreAdj", oom_score_adj },
	{ "networkNamespace", join_netns },
	{ "listPut", list_put },
	{ "listDrop", list_drop },
	{ "envDrop", env_drop },
	{ "sortMounts", sort_mounts },
};

void check_edits(yyjson_val *edits, const char *id)
{
	static const char *const keys[] = { "v",   "containerId",	"merge",
					    "ops", "userNamespace", "cgroupWrites",
					    "requires", NULL };
	yyjson_val *merge = yyjson_obj_get(edits, "merge"), *ops = yyjson_obj_get(edits, "ops");

	if (get_number(edits, "v", UINT32_MAX, "edits") != 1)
		fail("the edits' version is not 1; Dockline and dockline-oci differ in version");
	if (strcmp(get_text(edits, "containerId", "edits"), id) != 0)
		fail("the edits are those of another container");
	only_keys(edits, keys, "edits");
	if (merge != NULL && !yyjson_is_obj(merge))
		fail("edits.merge must be an object");
	if (ops != NULL && !yyjson_is_arr(ops))
		fail("edits.ops must be a list");
}

void apply_edits(yyjson_val *edits, yyjson_mut_doc *spec, bool (*supports)(const char *option))
{
	yyjson_val *merge = yyjson_obj_get(edits, "merge"), *op;
	size_t index, max;

	mount_option_supported = supports;
	if (merge != NULL) {
		yyjson_mut_val *patch = yyjson_val_mut_copy(spec, merge);
		yyjson_mut_val *merged =
			yyjson_mut_merge_patch(spec, yyjson_mut_doc_get_root(spec), patch);

		if (merged == NULL)
			fail("edits.merge cannot be applied to config.json");
		yyjson_mut_doc_set_root(spec, merged);
	}
	yyjson_arr_foreach(yyjson_obj_get(edits, "ops"), index, max, op) {
		const char *where = text("edits.ops[%zu]", index);
		const char *name = get_text(op, "op", where);
		size_t i = 0, count = sizeof(operations) / sizeof(operations[0]);

		while (i < count && strcmp(operations[i].name, name) != 0)
			i++;
		if (i == count)
			fail("%s has the unknown operation \"%s\"; Dockline and dockline-oci differ in "
			     "version",
			     where, name);
		operations[i].apply(op, spec, where);
	}
}
