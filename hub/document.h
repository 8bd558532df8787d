/* What the hub asks of a document: enough to refuse what no agent could run, and to know its steps.
 * The agent checks it fully. Pure, but for the built-in documents. */
#ifndef SSMD_HUB_DOCUMENT_H
#define SSMD_HUB_DOCUMENT_H

#include "hub/store.h"
#include "schema/json.h"

#define DOCUMENT_MAX_BYTES 65536

/* A document of type Command. ERR_INVALID, with *ret_error_code (static) the API's name for it:
 * InvalidDocumentContent or InvalidDocumentSchemaVersion. */
int document_check(const cJSON *document, const char **ret_error_code, struct err *err) MUST_CHECK;

/* The names under which the results of its steps come back, as a JSON list: the steps' names, or
 * the plugins' in schema 1.2 (spec 03, section 6.1). */
void document_write_steps(const cJSON *document, struct buf *out);

/* How long its steps may run together, in seconds: timeoutSeconds of each step, 3600 where there is
 * none. */
int64_t document_execution_timeout_s(const cJSON *document, const cJSON *given);

/* Linux and MacOS for documents that run shell scripts, Windows for PowerShell, all three for those
 * that run neither; the second as a JSON list under key. */
bool document_runs_on(const cJSON *document, const char *platform);
void document_write_platforms(const cJSON *document, struct buf *out, const char *key);

/* Put AWS-RunShellScript and AWS-UpdateSSMAgent into the store where they are not there. */
int document_add_built_in(struct store *s, int64_t now_ms, struct err *err) MUST_CHECK;

#endif
