#define _GNU_SOURCE
#include "lists.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

static yyjson_val *texts_of(yyjson_val *op, const char *key, const char *where)
{
	yyjson_val *list = yyjson_obj_get(op, key), *value;
	size_t index, max;

	if (!yyjson_is_arr(list))
		fail("%s.%s must be a list", where, key);
	yyjson_arr_foreach(list, index, max, value) {
		if (yyjson_get_str(value) == NULL ||
		    strlen(yyjson_get_str(value)) != yyjson_get_len(value))
			fail("%s.%s must be a list of strings", where, key);
	}
	return list;
}

yyjson_mut_val *list_at(yyjson_mut_doc *spec, const char *path, bool make, const char *where)
{
	yyjson_mut_val *list = yyjson_mut_doc_ptr_get(spec, path);

	if (list == NULL || yyjson_mut_is_null(list)) {
		if (!make)
			return NULL;
		list = yyjson_mut_arr(spec);
		if (!yyjson_mut_doc_ptr_set(spec, path, list))
			fail("%s cannot be applied: nothing can be set at %s of config.json", where,
			     path);
	}
	if (!yyjson_mut_is_arr(list))
		fail("%s cannot be applied: %s of config.json is not a list", where, path);
	return list;
}

static bool is_integer(const char *digits)
{
	if (*digits == '-')
		digits++;
	if (digits[0] == '\0' || strlen(digits) > 20 || (digits[0] == '0' && digits[1] != '\0'))
		return false;
	return strspn(digits, "0123456789") == strlen(digits);
}

/* Integers beyond what readers of JSON hold exactly come as text. */
static void make_integers(yyjson_mut_doc *spec, yyjson_mut_val *entry, yyjson_val *names,
			  const char *where)
{
	size_t index, max;
	yyjson_val *name;

	yyjson_arr_foreach(names, index, max, name) {
		const char *key = yyjson_get_str(name);
		const char *digits = yyjson_mut_get_str(yyjson_mut_obj_get(entry, key));

		if (digits == NULL || !is_integer(digits))
			fail("%s: %s must be the text of an integer", where, key);
		yyjson_mut_obj_put(entry, yyjson_mut_strcpy(spec, key),
				   yyjson_mut_rawcpy(spec, digits));
	}
}

/* In the place of the first entry with this key; later ones would cover it. */
static void put_entry(yyjson_mut_val *list, const char *key, yyjson_mut_val *entry)
{
	const char *name = yyjson_mut_get_str(yyjson_mut_obj_get(entry, key));
	size_t at = 0, first = 0;
	bool found = false;

	while (at < yyjson_mut_arr_size(list)) {
		yyjson_mut_val *other = yyjson_mut_arr_get(list, at);

		if (!yyjson_mut_equals_str(yyjson_mut_obj_get(other, key), name)) {
			at++;
			continue;
		}
		if (!found)
			first = at;
		found = true;
		yyjson_mut_arr_remove(list, at);
	}
	if (!yyjson_mut_arr_insert(list, entry, found ? first : at))
		fail("out of memory");
}

void list_put(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "path", "key", "values", "integers", NULL };
	const char *path = get_text(op, "path", where), *key = get_text(op, "key", where);
	yyjson_val *values = yyjson_obj_get(op, "values"), *value, *integers = NULL;
	yyjson_mut_val *list = list_at(spec, path, true, where);
	size_t index, max;

	only_keys(op, keys, where);
	if (!yyjson_is_arr(values))
		fail("%s.values must be a list", where);
	if (yyjson_obj_get(op, "integers") != NULL)
		integers = texts_of(op, "integers", where);
	yyjson_arr_foreach(values, index, max, value) {
		yyjson_mut_val *entry;

		if (yyjson_get_str(yyjson_obj_get(value, key)) == NULL)
			fail("%s.values[%zu] has no %s", where, index, key);
		entry = yyjson_val_mut_copy(spec, value);
		if (entry == NULL)
			fail("out of memory");
		make_integers(spec, entry, integers, where);
		put_entry(list, key, entry);
	}
}

struct named {
	const char *key, *name;
};

static bool is_named(yyjson_mut_val *entry, const void *what)
{
	const struct named *named = what;

	return yyjson_mut_equals_str(yyjson_mut_obj_get(entry, named->key), named->name);
}

void list_drop(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "path", "key", "names", NULL };
	const char *path = get_text(op, "path", where), *key = get_text(op, "key", where);
	yyjson_val *names = texts_of(op, "names", where), *name;
	yyjson_mut_val *list = list_at(spec, path, false, where);
	size_t index, max;

	only_keys(op, keys, where);
	yyjson_arr_foreach(names, index, max, name) {
		const struct named named = { key, yyjson_get_str(name) };

		array_drop(list, is_named, &named);
	}
}

bool sets_variable(yyjson_mut_val *entry, const void *name)
{
	const char *string = yyjson_mut_get_str(entry);
	size_t length = strlen(name);

	return string != NULL && strncmp(string, name, length) == 0 && string[length] == '=';
}

void env_drop(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", "name", NULL };
	const char *name = get_text(op, "name", where);
	yyjson_mut_val *env = list_at(spec, "/process/env", false, where);

	only_keys(op, keys, where);
	if (*name == '\0' || strchr(name, '=') != NULL)
		fail("%s.name is not a variable's name", where);
	array_drop(env, sets_variable, name);
}

/* Folders on the way to a mount point; "/" and "/a" are as deep. */
static size_t depth_of(yyjson_mut_val *mount)
{
	const char *at = yyjson_mut_get_str(yyjson_mut_obj_get(mount, "destination"));
	size_t depth = 0;

	while (at != NULL && *at != '\0') {
		size_t length = strcspn(at, "/");

		if (length == 2 && strncmp(at, "..", 2) == 0)
			depth -= depth > 0;
		else if (length > 1 || (length == 1 && *at != '.'))
			depth++;
		at += length + (at[length] == '/');
	}
	return depth == 0 ? 1 : depth;
}

/* Stable: what is mounted at one place twice keeps its order. */
void sort_mounts(yyjson_val *op, yyjson_mut_doc *spec, const char *where)
{
	static const char *const keys[] = { "op", NULL };
	yyjson_mut_val *list = list_at(spec, "/mounts", false, where);
	size_t count = yyjson_mut_arr_size(list), deepest = 0;
	yyjson_mut_val **mounts = calloc(count + 1, sizeof(*mounts)), *mount;
	size_t index, max;

	only_keys(op, keys, where);
	if (mounts == NULL)
		fail("out of memory");
	yyjson_mut_arr_foreach(list, index, max, mount) {
		size_t depth = depth_of(mount);

		mounts[index] = mount;
		if (depth > deepest)
			deepest = depth;
	}
	yyjson_mut_arr_clear(list);
	for (size_t depth = 1; depth <= deepest; depth++)
		for (size_t i = 0; i < count; i++)
			if (depth_of(mounts[i]) == depth)
				yyjson_mut_arr_append(list, mounts[i]);
	free(mounts);
}
