#ifndef DOCKLINE_REPORT_H
#define DOCKLINE_REPORT_H

/* Where the runtime's caller reads errors: --log and --log-format of the command line. */
void report_to(const char *log_path, const char *log_format);

/*
 * Says the sentence on stderr and in the --log file, from where the shim takes what Docker shows,
 * then ends with status 1. Undoes nothing itself: see on_failure.
 */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Called once by fail, before the end, so that no mount or folder stays. NULL: nothing to undo. */
void on_failure(void (*undo)(void));

/* asprintf that fails the start when memory is out. Nothing is freed: the process ends soon. */
__attribute__((format(printf, 1, 2))) char *text(const char *format, ...);

#endif
