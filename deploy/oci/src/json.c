#define _GNU_SOURCE
#include "json.h"

#include <string.h>

#include "report.h"

yyjson_doc *parse_json(char *bytes, size_t size, const char *name)
{
	yyjson_read_err error;
	yyjson_doc *doc =
		yyjson_read_opts(bytes, size, YYJSON_READ_NUMBER_AS_RAW, NULL, &error);

	if (doc == NULL)
		fail("%s is not valid JSON: %s at byte %zu", name, error.msg, error.pos);
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		fail("%s is not a JSON object", name);
	return doc;
}

unsigned long long get_number(yyjson_val *object, const char *key, unsigned long long limit,
			      const char *where)
{
	const char *raw = yyjson_get_raw(yyjson_obj_get(object, key));
	size_t length = raw == NULL ? 0 : yyjson_get_len(yyjson_obj_get(object, key));
	unsigned long long value = 0;

	if (length == 0 || length > 18)
		fail("%s.%s must be an integer from 0 to %llu", where, key, limit);
	for (size_t i = 0; i < length; i++) {
		if (raw[i] < '0' || raw[i] > '9')
			fail("%s.%s must be an integer from 0 to %llu", where, key, limit);
		value = value * 10 + (unsigned)(raw[i] - '0');
	}
	if (value > limit)
		fail("%s.%s must be an integer from 0 to %llu", where, key, limit);
	return value;
}

const char *get_text(yyjson_val *object, const char *key, const char *where)
{
	yyjson_val *value = yyjson_obj_get(object, key);
	const char *string = yyjson_get_str(value);

	if (string == NULL || strlen(string) != yyjson_get_len(value))
		fail("%s.%s must be a string", where, key);
	return string;
}

void only_keys(yyjson_val *object, const char *const *known, const char *where)
{
	size_t index, max;
	yyjson_val *key, *value;

	yyjson_obj_foreach(object, index, max, key, value) {
		const char *const *name = known;

		while (*name != NULL && !yyjson_equals_str(key, *name))
			name++;
		if (*name == NULL)
			fail("%s has the unknown member \"%s\"; Dockline and dockline-oci differ in "
			     "version",
			     where, yyjson_get_str(key));
	}
}

static yyjson_mut_val *need(yyjson_mut_doc *doc, yyjson_mut_val *parent, const char *key,
			    bool array)
{
	yyjson_mut_val *value = yyjson_mut_obj_get(parent, key);

	if (value != NULL && !yyjson_mut_is_null(value)) {
		if (array ? !yyjson_mut_is_arr(value) : !yyjson_mut_is_obj(value))
			fail("config.json: %s is not an %s", key, array ? "array" : "object");
		return value;
	}
	value = array ? yyjson_mut_arr(doc) : yyjson_mut_obj(doc);
	if (!yyjson_mut_obj_put(parent, yyjson_mut_strcpy(doc, key), value))
		fail("config.json: cannot add %s", key);
	return value;
}

yyjson_mut_val *need_object(yyjson_mut_doc *doc, yyjson_mut_val *parent, const char *key)
{
	return need(doc, parent, key, false);
}

yyjson_mut_val *need_array(yyjson_mut_doc *doc, yyjson_mut_val *parent, const char *key)
{
	return need(doc, parent, key, true);
}

bool array_has(yyjson_mut_val *array, const char *string)
{
	size_t index, max;
	yyjson_mut_val *value;

	yyjson_mut_arr_foreach(array, index, max, value) {
		if (yyjson_mut_equals_str(value, string))
			return true;
	}
	return false;
}

void array_drop(yyjson_mut_val *array, bool (*matches)(yyjson_mut_val *entry, const void *what),
		const void *what)
{
	size_t at = 0;

	while (at < yyjson_mut_arr_size(array)) {
		if (matches(yyjson_mut_arr_get(array, at), what))
			yyjson_mut_arr_remove(array, at);
		else
			at++;
	}
}
