#define _GNU_SOURCE
#include "overlay.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "report.h"

enum { MOUNTINFO_LIMIT = 64 << 20 };

/* mountinfo writes space, tab, newline, backslash and some more as \ooo. */
static void unescape(char *string)
{
	char *to = string;

	for (char *from = string; *from != '\0';) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
		    from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
			*to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static char *resolve(const char *path, const char *base)
{
	const char *whole = path[0] == '/' ? path : text("%s/%s", base, path);
	/* Docker's short links (l/ABC) count against the length of options; ours need not be short. */
	char *real = realpath(whole, NULL);

	if (real == NULL)
		fail("the image layer %s cannot be found", whole);
	/* The next mount's option would need them escaped in two ways that kernels differ in. */
	if (strpbrk(real, ",:\\") != NULL)
		fail("the image layer %s has a comma, colon or backslash in its path", real);
	return real;
}

/* The next option; commas inside double quotes (SELinux contexts) belong to it. */
static char *next_option(char **rest)
{
	char *start = *rest, *end = start;
	int quoted = 0;

	if (start == NULL)
		return NULL;
	while (*end != '\0' && (quoted || *end != ',')) {
		if (*end == '"')
			quoted = !quoted;
		end++;
	}
	*rest = *end == '\0' ? NULL : end + 1;
	*end = '\0';
	return start;
}

static const char *after(const char *option, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(option, prefix, length) == 0 ? option + length : NULL;
}

static int must_stay(const char *option)
{
	static const char *const kept[] = { "index=",	  "metacopy=", "redirect_dir=", "xino=",
					    "uuid=",	  "verity=",   "volatile",	"userxattr",
					    "context=",	  "fscontext=", "defcontext=",	"rootcontext=",
					    "nfs_export=" };

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (after(option, kept[i]) != NULL)
			return 1;
	return 0;
}

void parse_overlay(char *options, const char *root, struct overlay *overlay)
{
	const char *value, *upper = NULL, *work = NULL, *base;
	char *raw[MAX_LAYERS], *rest = options, *option, *position;

	memset(overlay, 0, sizeof(*overlay));
	overlay->others = "";
	while ((option = next_option(&rest)) != NULL) {
		if ((value = after(option, "upperdir=")) != NULL) {
			upper = value;
		} else if ((value = after(option, "workdir=")) != NULL) {
			work = value;
		} else if ((value = after(option, "lowerdir=")) != NULL ||
			   (value = after(option, "lowerdir+=")) != NULL) {
			for (char *path = strtok_r((char *)value, ":", &position); path != NULL;
			     path = strtok_r(NULL, ":", &position)) {
				if (overlay->lowers == MAX_LAYERS)
					fail("the image has more than %d layers", MAX_LAYERS);
				raw[overlay->lowers++] = path;
			}
		} else if (must_stay(option)) {
			overlay->others = text("%s,%s", overlay->others, option);
		}
	}
	if (upper == NULL || work == NULL || overlay->lowers == 0)
		fail("the overlay at %s has no upper or no lower layer", root);
	/* Long lists are given relative: by dockerd to its driver's folder, two above the mount point;
	   by containerd to the folder of snapshots, two above an upper that is absolute. */
	base = dirname(dirname(text("%s", upper[0] == '/' ? upper : root)));
	overlay->upper = resolve(upper, base);
	overlay->work = resolve(work, base);
	overlay->ours = strcmp(raw[0], "0") == 0;
	for (int i = 0; i < overlay->lowers && !overlay->ours; i++)
		overlay->lower[i] = resolve(raw[i], base);
}

void read_overlay(const char *root, struct overlay *overlay)
{
	size_t size;
	char *mounts = read_file("/proc/self/mountinfo", MOUNTINFO_LIMIT, &size);
	char *position, *found_type = NULL, *found_options = NULL;

	for (char *line = mounts == NULL ? NULL : strtok_r(mounts, "\n", &position); line != NULL;
	     line = strtok_r(NULL, "\n", &position)) {
		char *inner, *point = NULL, *dash = strstr(line, " - ");

		if (dash == NULL)
			continue;
		*dash = '\0';
		for (int field = 0; field < 5; field++)
			point = strtok_r(field == 0 ? line : NULL, " ", &inner);
		if (point == NULL)
			continue;
		unescape(point);
		if (strcmp(point, root) != 0)
			continue;
		found_type = strtok_r(dash + 3, " ", &inner);
		strtok_r(NULL, " ", &inner);
		found_options = strtok_r(NULL, " ", &inner);
	}
	if (found_type == NULL || found_options == NULL)
		fail("nothing is mounted at the container's root %s; a user namespace needs a storage "
		     "driver that uses overlay",
		     root);
	if (strcmp(found_type, "overlay") != 0)
		fail("the container's root is of type %s; a user namespace needs overlay", found_type);
	unescape(found_options);
	parse_overlay(found_options, root, overlay);
}
