/* Places where the suite kills the process: before and after each journal write and each effect.
 *
 * In builds with SSMD_CRASHPOINTS (dev, asan), the environment decides at start:
 *   SSMD_CRASH_AT=n        SIGKILL ourselves at the n-th place passed (1 is the first)
 *   SSMD_CRASH_ONCE=file   ... but only who can make this file: of many processes one dies
 *   SSMD_CRASH_TRACE=file  append the name of each place passed
 *   SSMD_CRASH_OF=end      ... all of it only in the program whose path ends so
 *   SSMD_CRASH_FROM=file   ... and only once this file is there
 * In release builds crashpoint() is nothing at all. Main thread. */
#ifndef SSMD_BASE_CRASHPOINT_H
#define SSMD_BASE_CRASHPOINT_H

#ifdef SSMD_CRASHPOINTS
void crashpoint(const char *name);
#else
#define crashpoint(name) ((void)(name))
#endif

#endif
