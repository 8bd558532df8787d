/* A command document: checked, parameters put in, each step's fate before it starts decided. Pure
 * data; nothing is run or fetched here. Spec 04 sections 1 to 5. Any thread; no state. */
#ifndef SSMD_SCHEMA_DOCUMENT_H
#define SSMD_SCHEMA_DOCUMENT_H

#include "base/buf.h"
#include "schema/json.h"

#define DOCUMENT_MAX_STEPS 1000u
#define DOCUMENT_MAX_UNITS 1000u
#define DOCUMENT_MAX_PARAMETERS 1000u
#define DOCUMENT_MAX_NAME_BYTES 1024u
#define DOCUMENT_MAX_ATTEMPTS 100
#define DOCUMENT_MAX_BYTES (1u << 20)           /* of the content as compact JSON */
#define DOCUMENT_MAX_EXPANDED_BYTES (16u << 20) /* after substitution, all steps together */

enum document_disposition {
    DOCUMENT_RUN,
    DOCUMENT_FAIL, /* status Failed, code 1, `note` is its output */
    DOCUMENT_SKIP, /* status Skipped, code 0, `note` is its output */
};

/* One execution of a plugin. */
struct document_unit {
    size_t plugin;  /* index */
    const char *id; /* 2.x: the step's name; 1.x: the properties' id, or NULL. Names S3 objects;
                       never a path on this machine */
    const cJSON *inputs; /* borrowed from the document; never NULL, may be JSON null */
};

struct document_plugin {
    char *id;       /* the key of its result: 2.x the step's name, 1.x the plugin's name */
    char *name;     /* the plugin; "" when the step has no action */
    size_t same_as; /* index of the first plugin with this id: its own, unless two steps share a
                       name */
    enum document_disposition disposition;
    char *note;             /* owned; the text for FAIL and SKIP, else NULL */
    bool is_note_on_stderr; /* the step says it itself; else it stands in place of its output */
    /* Control flow (spec 04, section 4). */
    bool exits_on_failure;
    bool succeeds_on_failure; /* and exits */
    bool exits_on_success;
    bool is_finally; /* only ever true for the last one */
    /* What stands beside the inputs; only with document_input.is_strict. */
    int64_t limit_s;      /* 0: the script's own */
    int64_t max_attempts; /* 0: once */
    /* units[first_unit .. first_unit + n_units); none for FAIL and SKIP */
    size_t first_unit;
    size_t n_units;
};

struct document {
    char *schema_version;
    struct document_plugin *plugins;
    size_t n_plugins;
    struct document_unit *units;
    size_t n_units;
    cJSON *inputs;  /* owned list: the inputs of each plugin after substitution */
    char *warnings; /* owned; a line for each thing that was written and does not count, or NULL */
};

/* Answers for {{ssm:name}}: `reference` is what stands after "ssm:" (name, name:version, ...). The
 * results must stay valid until document_parse() returns. ERR_NOT_FOUND when there is none. */
struct document_resolver {
    int (*resolve)(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                   struct err *err);
    void *ctx;
};

/* Everything is borrowed for the call. */
struct document_input {
    const cJSON *content;    /* DocumentContent */
    const cJSON *parameters; /* an object, or NULL */
    bool is_nested;          /* by aws:runDocument or ssmctl, not the service: more checks (2.3) */
    bool is_strict; /* honour timeoutSeconds, maxAttempts and onFailure beside a step's inputs */
    const char *platform;                     /* what platformType is; NULL means linux */
    const struct document_resolver *resolver; /* NULL: a document with {{ssm:...}} fails */
    struct buf
        *trace; /* optional: the whole text of a failure, where err->text may have to cut it */
};

/* The error text is what goes into documentTraceOutput. ERR_INVALID, ERR_LIMIT, ERR_UNSUPPORTED
 * (schema version), what the resolver returned, ERR_NOMEM. On success the caller owns
 * *ret_document: document_free(). Neither the content nor the parameters are needed any more then.
 */
int document_parse(const struct document_input *in, struct document **ret_document, struct err *err)
    MUST_CHECK;
void document_free(struct document *d);

/* The Parameter Store references that document_parse() is going to ask its resolver for, without
 * duplicates, in the order in which they are met. `in->resolver` is not used. Errors as above. On
 * success the caller owns *ret_references: document_references_done(). */
struct document_references {
    char **names;
    size_t n;
};
int document_find_ssm_references(const struct document_input *in,
                                 struct document_references *ret_references, struct err *err)
    MUST_CHECK;
void document_references_done(struct document_references *references);

DEFINE_AUTO(struct document *, document_free)

static inline void document_references_done_cleanup(struct document_references *references)
{
    document_references_done(references);
}

#endif
