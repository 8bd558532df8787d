/* What the two halves of the parameter operations share: names, and finding a version. */
#ifndef SSMD_HUB_API_PARAMETER_INTERNAL_H
#define SSMD_HUB_API_PARAMETER_INTERNAL_H

#include "hub/api.h"

#define PARAMETER_NAME_SIZE 2049
#define PARAMETER_SECURE "SecureString"

/* A name as it is given: plain or an ARN, perhaps with ":3" or ":label" behind it. */
struct parameter_reference {
    char name[PARAMETER_NAME_SIZE];
    char selector[PARAMETER_NAME_SIZE]; /* without the colon; "" for the newest version */
};

/* False: it cannot be the name of a parameter. */
bool api_parameter_split(const char *given, struct parameter_reference *ret);
/* 1: found; the row is borrowed from *c, which the caller ends in any case. 0: the name is there,
 * not that version; -1 in *ret_is_known false: no such name. */
int api_parameter_find(struct call *call, const struct parameter_reference *reference,
                       struct cursor *c, struct parameter_row *ret_row, bool *ret_is_known,
                       struct err *err) MUST_CHECK;
/* What the sealing key binds the value of one version to. */
void api_parameter_context(const struct parameter_row *row, struct buf *ret_context);

#endif
