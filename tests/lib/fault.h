/* System calls that fail when they are told to: a suite that links fault.c with FAULT_LINK_OPTIONS
 * (tests/unit/update.cmake) counts the calls of files that it makes, and lets the n-th fail. One
 * thread. */
#ifndef SSMD_TESTS_LIB_FAULT_H
#define SSMD_TESTS_LIB_FAULT_H

#include <stdbool.h>

/* The n-th call from now on (1 is the first) fails with this errno; 0: none does. */
void fault_at(int n, int sys_errno);
/* Whether it came to that; nothing fails from now on. */
bool fault_has_hit(void);

#endif
