#define _GNU_SOURCE
#include "requires.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "runtime.h"

static bool is_true(const char *pointer)
{
	return yyjson_is_true(yyjson_ptr_get(runtime_features(), pointer));
}

/* "1.1.0-rc.1" is before 1.1.0. */
static bool carries_out(const char *wanted)
{
	const char *version = yyjson_get_str(yyjson_obj_get(runtime_features(), "ociVersionMax"));
	char *have = (char *)version, *want = (char *)wanted;

	if (version == NULL)
		return false;
	for (int i = 0; i < 3; i++) {
		unsigned long own = strtoul(have, &have, 10), other = strtoul(want, &want, 10);

		if (own != other)
			return own > other;
		have += *have == '.';
		want += *want == '.';
	}
	return strchr(version, '-') == NULL;
}

static bool meets(const char *requirement)
{
	const char *colon = strchr(requirement, ':');
	const char *name = colon == NULL ? "" : colon + 1;
	size_t length = colon == NULL ? strlen(requirement) : (size_t)(colon - requirement);
	const char *kind = text("%.*s", (int)length, requirement);

	if (strcmp(kind, "spec") == 0)
		return carries_out(name);
	if (strcmp(kind, "netDevices") == 0)
		return is_true("/linux/netDevices/enabled");
	if (strcmp(kind, "intelRdt") == 0)
		return is_true("/linux/intelRdt/enabled");
	if (strcmp(kind, "intelRdt.schemata") == 0)
		return is_true("/linux/intelRdt/schemata");
	if (strcmp(kind, "intelRdt.monitoring") == 0)
		return is_true("/linux/intelRdt/monitoring");
	if (strcmp(kind, "memoryPolicy") == 0)
		return runtime_lists("/linux/memoryPolicy/modes", name);
	if (strcmp(kind, "memoryPolicyFlag") == 0)
		return runtime_lists("/linux/memoryPolicy/flags", name);
	if (strcmp(kind, "hook") == 0)
		return runtime_lists("/hooks", name);
	if (strcmp(kind, "namespace") == 0)
		return runtime_lists("/linux/namespaces", name);
	if (strcmp(kind, "mountOption") == 0)
		return runtime_supports(name);
	fail("the edits require \"%s\", which is unknown here; Dockline and dockline-oci differ in "
	     "version",
	     requirement);
}

void check_requires(yyjson_val *edits)
{
	yyjson_val *list = yyjson_obj_get(edits, "requires"), *value;
	size_t index, max;

	if (list != NULL && !yyjson_is_arr(list))
		fail("edits.requires must be a list");
	yyjson_arr_foreach(list, index, max, value) {
		const char *requirement = yyjson_get_str(value);

		if (requirement == NULL)
			fail("edits.requires must be a list of strings");
		if (!meets(requirement))
			fail("the real runtime does not carry out %s, and would pass over it in "
			     "silence",
			     requirement);
	}
}
