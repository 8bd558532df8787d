/* What the two halves of the document operations share. */
#ifndef SSMD_HUB_API_DOCUMENT_INTERNAL_H
#define SSMD_HUB_API_DOCUMENT_INTERNAL_H

#include "hub/api.h"

/* Whether a name belongs to the documents of AWS. */
bool api_document_is_reserved(const char *name);
/* DocumentVersion and VersionName, if they are given. */
int api_document_read_version(struct call *call, const char **ret_version,
                              const char **ret_version_name, struct err *err) MUST_CHECK;
/* The version that `wanted` ("$DEFAULT", "$LATEST", a number) means, or, if not NULL, the one of
 * that name. The cursor stays on it; the caller ends it. A refusal if there is none. */
int api_document_find(struct call *call, const char *name, const char *wanted,
                      const char *version_name, struct cursor *c, struct document_row *ret_row,
                      struct err *err) MUST_CHECK;
/* Answer with the description of a version under `key`. */
int api_document_describe(struct call *call, const char *key, const char *name, const char *version,
                          const char *version_name, struct err *err) MUST_CHECK;

#endif
