/* Inputs of aws:runDocument (spec 04, section 7). Any thread; no state. */
#ifndef SSMD_SCHEMA_RUNDOCUMENT_H
#define SSMD_SCHEMA_RUNDOCUMENT_H

#include "base/buf.h"
#include "schema/json.h"

#define RUNDOCUMENT_NOOP "AWS-Noop" /* a document that does nothing, successfully */

struct rundocument_inputs {
    bool is_local;     /* LocalPath: `path` is a file; else a name for GetDocument */
    const char *path;  /* borrowed from the inputs; never empty */
    cJSON *parameters; /* owned; an object without null values, or NULL: none were given */
};

/* The error text is what the step's user reads. ERR_INVALID, ERR_LIMIT, ERR_NOMEM. On success the
 * caller owns *ret_inputs: rundocument_inputs_done(). */
int rundocument_inputs_parse(const cJSON *inputs, struct rundocument_inputs *ret_inputs,
                             struct err *err) MUST_CHECK;
void rundocument_inputs_done(struct rundocument_inputs *i);

/* A document's name as GetDocument wants it, also of aws:downloadContent's SSMDocument. */
struct document_name {
    char name[512];    /* without the version; an ARN stays one */
    char version[128]; /* "" when none was given */
    char file[640];    /* "<last part of the name>.json": always a plain file name */
};
/* "name", "name:version", "arn:...:document/name[:version]". ERR_INVALID: too long, or nothing that
 * can name a file. */
int document_name_parse(const char *text, struct document_name *ret_name, struct err *err)
    MUST_CHECK;

static inline void rundocument_inputs_done_cleanup(struct rundocument_inputs *i)
{
    rundocument_inputs_done(i);
}

#endif
