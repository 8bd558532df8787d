/* Inputs of aws:runShellScript and aws:runPowerShellScript. Spec 04 sections 6.1, 6.4. Any thread.
 */
#ifndef SSMD_SCHEMA_SCRIPT_H
#define SSMD_SCHEMA_SCRIPT_H

#include "base/buf.h"
#include "schema/json.h"

#define SCRIPT_TIMEOUT_MIN_S 5
#define SCRIPT_TIMEOUT_MAX_S 172800
#define SCRIPT_TIMEOUT_DEFAULT_S 3600
#define SCRIPT_MAX_ENVIRONMENT 1000u

struct script_variable {
    const char *name;
    const char *value;
};

/* Texts are borrowed from the inputs, which must outlive this. */
struct script_inputs {
    char *script; /* owned: the lines, each with its LF; "" + LF when there are none */
    size_t script_len;
    const char *working_directory;       /* "" when there is none */
    const char *id;                      /* "" when there is none */
    int64_t timeout_s;                   /* SCRIPT_TIMEOUT_MIN_S .. SCRIPT_TIMEOUT_MAX_S */
    struct script_variable *environment; /* owned; sorted by name */
    size_t n_environment;
};

/* On failure *failure (initialised by the caller; 32 KiB are enough) holds the whole text for the
 * step's stderr, for inputs of a wrong type in the reference's words; err->text is its beginning.
 * ERR_INVALID, ERR_LIMIT, ERR_NOMEM. `inputs` may be JSON null: an empty script. On success the
 * caller owns *ret_inputs: script_inputs_done(). */
int script_inputs_parse(const cJSON *inputs, struct script_inputs *ret_inputs, struct buf *failure,
                        struct err *err) MUST_CHECK;
void script_inputs_done(struct script_inputs *s);

/* The seconds that a timeoutSeconds value means; NULL is missing. */
int64_t script_timeout_s(const cJSON *value);

static inline void script_inputs_done_cleanup(struct script_inputs *s)
{
    script_inputs_done(s);
}

#endif
