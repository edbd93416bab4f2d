#define _GNU_SOURCE
#include <string.h>

#include "edits.h"
#include "report.h"

static const char where_namespace[] = "edits.userNamespace";

bool wants_user_namespace(yyjson_val *edits, struct user_namespace *wanted)
{
	static const char *const keys[] = { "hostId", "size", "join", "idmapMounts", NULL };
	static const char *const join_keys[] = { "pid", "startTicks", NULL };
	yyjson_val *value = yyjson_obj_get(edits, "userNamespace");
	yyjson_val *join = yyjson_obj_get(value, "join");

	if (value == NULL)
		return false;
	if (!yyjson_is_obj(value))
		fail("%s must be an object", where_namespace);
	only_keys(value, keys, where_namespace);
	wanted->host_id = (uint32_t)get_number(value, "hostId", UINT32_MAX - 1, where_namespace);
	wanted->size = (uint32_t)get_number(value, "size", UINT32_MAX - 1, where_namespace);
	if (wanted->size == 0 || wanted->size > UINT32_MAX - wanted->host_id)
		fail("%s.size is 0 or leaves the 32-bit ids", where_namespace);
	wanted->join_pid = 0;
	if (join != NULL) {
		if (!yyjson_is_obj(join))
			fail("%s.join must be an object", where_namespace);
		only_keys(join, join_keys, "edits.userNamespace.join");
		wanted->join_pid =
			(int)get_number(join, "pid", 1 << 30, "edits.userNamespace.join");
		wanted->join_start_ticks = get_number(join, "startTicks", ~0ULL,
						      "edits.userNamespace.join");
		if (wanted->join_pid < 2)
			fail("edits.userNamespace.join.pid must be above 1");
	}
	return true;
}

static yyjson_mut_val *mapping(yyjson_mut_doc *spec, const struct user_namespace *wanted)
{
	yyjson_mut_val *list = yyjson_mut_arr(spec), *entry = yyjson_mut_arr_add_obj(spec, list);

	yyjson_mut_obj_add_uint(spec, entry, "containerID", 0);
	yyjson_mut_obj_add_uint(spec, entry, "hostID", wanted->host_id);
	yyjson_mut_obj_add_uint(spec, entry, "size", wanted->size);
	return list;
}

static void put(yyjson_mut_doc *spec, yyjson_mut_val *object, const char *key,
		yyjson_mut_val *value)
{
	if (!yyjson_mut_obj_put(object, yyjson_mut_str(spec, key), value))
		fail("out of memory");
}

static void idmap_mount(yyjson_mut_doc *spec, const struct user_namespace *wanted,
			yyjson_val *entry)
{
	static const char *const keys[] = { "destination", "optional", NULL };
	static const char where[] = "edits.userNamespace.idmapMounts";
	yyjson_mut_val *mounts =
		yyjson_mut_obj_get(yyjson_mut_doc_get_root(spec), "mounts");
	const char *destination = get_text(entry, "destination", where);
	size_t index, max, found = 0;
	yyjson_mut_val *mount;

	only_keys(entry, keys, where);
	yyjson_mut_arr_foreach(mounts, index, max, mount) {
		if (!yyjson_mut_equals_str(yyjson_mut_obj_get(mount, "destination"), destination))
			continue;
		found++;
		put(spec, mount, "uidMappings", mapping(spec, wanted));
		put(spec, mount, "gidMappings", mapping(spec, wanted));
	}
	if (found == 0 && !yyjson_is_true(yyjson_obj_get(entry, "optional")))
		fail("%s cannot be applied: nothing is mounted at %s", where, destination);
}

/* Docker lets everybody ping; the end of its range has no id inside, and the kernel refuses it. */
static void fit_ping_group_range(yyjson_mut_doc *spec, yyjson_mut_val *linux_part,
				 const struct user_namespace *wanted)
{
	yyjson_mut_val *sysctl = yyjson_mut_obj_get(linux_part, "sysctl");
	static const char key[] = "net.ipv4.ping_group_range";

	if (yyjson_mut_equals_str(yyjson_mut_obj_get(sysctl, key), "0 2147483647"))
		put(spec, sysctl, key,
		    yyjson_mut_strcpy(spec, text("0 %u", wanted->size - 1)));
}

void edit_user_namespace(yyjson_val *edits, yyjson_mut_doc *spec,
			 const struct user_namespace *wanted, const char *join_path,
			 const char *root_path)
{
	yyjson_mut_val *root = yyjson_mut_doc_get_root(spec);
	yyjson_mut_val *linux_part = need_object(spec, root, "linux");
	yyjson_mut_val *namespaces = need_array(spec, linux_part, "namespaces");
	yyjson_val *mounts =
		yyjson_obj_get(yyjson_obj_get(edits, "userNamespace"), "idmapMounts");
	yyjson_val *entry;
	yyjson_mut_val *namespace;
	size_t index, max;

	yyjson_mut_arr_foreach(namespaces, index, max, namespace) {
		if (yyjson_mut_equals_str(yyjson_mut_obj_get(namespace, "type"), "user"))
			fail("the engine gave the container a user namespace already (userns-remap)");
	}
	namespace = yyjson_mut_arr_add_obj(spec, namespaces);
	yyjson_mut_obj_add_str(spec, namespace, "type", "user");
	if (join_path != NULL)
		yyjson_mut_obj_add_strcpy(spec, namespace, "path", join_path);
	put(spec, linux_part, "uidMappings", mapping(spec, wanted));
	put(spec, linux_part, "gidMappings", mapping(spec, wanted));
	put(spec, need_object(spec, root, "root"), "path", yyjson_mut_strcpy(spec, root_path));
	fit_ping_group_range(spec, linux_part, wanted);
	if (mounts != NULL && !yyjson_is_arr(mounts))
		fail("edits.userNamespace.idmapMounts must be a list");
	yyjson_arr_foreach(mounts, index, max, entry) {
		idmap_mount(spec, wanted, entry);
	}
}
