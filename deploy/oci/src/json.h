#ifndef DOCKLINE_JSON_H
#define DOCKLINE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "yyjson.h"

/*
 * Numbers are kept as the text they were: a spec holds values beyond what a double or a signed
 * 64-bit integer can say (rlimits of 2^64-1), and what is not edited must not change.
 */
yyjson_doc *parse_json(char *bytes, size_t size, const char *name);

/* A member that must be a decimal integer in [0, limit]; fails the start otherwise. */
unsigned long long get_number(yyjson_val *object, const char *key, unsigned long long limit,
			      const char *where);

/* A member that must be a string without NUL bytes; fails the start otherwise. */
const char *get_text(yyjson_val *object, const char *key, const char *where);

/* Fails the start on a member that is not in the NULL-terminated list: unknown means unapplied. */
void only_keys(yyjson_val *object, const char *const *known, const char *where);

/* The object or array at a key of `parent`, made when absent or null. */
yyjson_mut_val *need_object(yyjson_mut_doc *doc, yyjson_mut_val *parent, const char *key);
yyjson_mut_val *need_array(yyjson_mut_doc *doc, yyjson_mut_val *parent, const char *key);

/*
 * Removes each entry that matches. yyjson's own iterator steps over the entry behind one that it removes.
 */
void array_drop(yyjson_mut_val *array, bool (*matches)(yyjson_mut_val *entry, const void *what),
		const void *what);

bool array_has(yyjson_mut_val *array, const char *string);

#endif
