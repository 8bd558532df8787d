/* The history as an HTML page for people: self-contained, one file. One thread. */
#ifndef SSMD_CTL_REPORT_H
#define SSMD_CTL_REPORT_H

#include <stdio.h>

#include "journal/audit.h"

/* Write the page; `audit` is what audit_verify() said of the same journal. ERR_IO, ERR_FULL: `out`
 * cannot be written. */
int report_write(struct reader *reader, const struct audit_report *audit, FILE *out,
                 struct err *err) MUST_CHECK;

#endif
