/* The agent's log: one line per event on standard error; where that is journald's, it is told the
 * level as well:
 *   2026-01-02T03:04:05.678Z info  engine    1f2e: running --exited--> reporting key=value
 * Not the audit trail; that is the journal. Main thread. Secrets have their own type and cannot be
 * printed. */
#ifndef SSMD_BASE_LOG_H
#define SSMD_BASE_LOG_H

#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Each file that logs names its module once: #define LOG_MODULE "engine" before this header. */
#ifndef LOG_MODULE
#define LOG_MODULE "ssmd"
#endif

#define log_error(...) log_line(LOG_ERROR, LOG_MODULE, __VA_ARGS__)     /* someone must look */
#define log_warning(...) log_line(LOG_WARNING, LOG_MODULE, __VA_ARGS__) /* went on despite */
#define log_info(...) log_line(LOG_INFO, LOG_MODULE, __VA_ARGS__)       /* the story of a command */
#define log_debug(...) log_line(LOG_DEBUG, LOG_MODULE, __VA_ARGS__)

void log_line(enum log_level level, const char *module, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* "info" or "info,transport:debug,engine:error". ERR_INVALID names the part that is wrong; nothing
 * changes then. */
int log_set_levels(const char *spec, struct err *err) MUST_CHECK;

/* Where lines go: a descriptor that the caller keeps open. Default 2. */
void log_set_fd(int fd);

#endif
