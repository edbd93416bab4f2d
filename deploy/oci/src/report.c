#define _GNU_SOURCE
#include "report.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "yyjson.h"

static const char *log_path;
static int log_is_json;
static void (*undo)(void);

void report_to(const char *path, const char *format)
{
	log_path = path;
	log_is_json = format != NULL && strcmp(format, "json") == 0;
}

void on_failure(void (*function)(void))
{
	undo = function;
}

static char *json_line(const char *message, const char *when)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "level", "error");
	yyjson_mut_obj_add_str(doc, root, "msg", message);
	yyjson_mut_obj_add_str(doc, root, "time", when);
	/* A path in the message may hold bytes that are not UTF-8; the line is needed all the same. */
	return yyjson_mut_write(doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, NULL);
}

static void append_to_log(const char *message)
{
	char when[32];
	time_t now = time(NULL);
	struct tm utc;
	int fd;

	if (log_path == NULL || gmtime_r(&now, &utc) == NULL)
		return;
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (log_is_json) {
		char *line = json_line(message, when);

		if (line != NULL)
			dprintf(fd, "%s\n", line);
	} else {
		dprintf(fd, "time=\"%s\" level=error msg=\"%s\"\n", when, message);
	}
	close(fd);
}

void fail(const char *format, ...)
{
	static char message[2048];
	void (*once)(void) = undo;
	va_list args;
	int used = snprintf(message, sizeof(message), "dockline-oci: ");

	va_start(args, format);
	vsnprintf(message + used, sizeof(message) - (size_t)used, format, args);
	va_end(args);
	undo = NULL;
	if (once != NULL)
		once();
	dprintf(STDERR_FILENO, "%s\n", message);
	append_to_log(message);
	_exit(1);
}

char *text(const char *format, ...)
{
	va_list args;
	char *result;

	va_start(args, format);
	if (vasprintf(&result, format, args) < 0)
		fail("out of memory");
	va_end(args);
	return result;
}
