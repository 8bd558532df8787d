/* The first line of a script as the kernel would read it, and the command line that becomes of it:
 * whatever stands there, the shell must see two or three whole words, the last being our path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "executors/shell.h"

#define STEP_DIR "/jobs/it's/1.1"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Undo the quoting of one word; NULL when the text is not one. The rest follows a blank. */
static const char *take_word(const char *p, char *ret, size_t *ret_len)
{
    size_t n = 0;

    if (*p++ != '\'')
        return NULL;
    for (;;) {
        if (strncmp(p, "'\\''", 4) == 0) {
            ret[n++] = '\'';
            p += 4;
        } else if (*p == '\'') {
            break;
        } else if (*p == '\0') {
            return NULL;
        } else {
            ret[n++] = *p++;
        }
    }
    *ret_len = n;
    ret[n] = '\0';
    p++;
    return *p == ' ' && p[1] != '\0' ? p + 1 : p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shell_request q = {
        .script = (const char *)data, .script_len = size, .step_dir = STEP_DIR, .is_noexec = true};
    AUTO(shell_spec_free) struct shell_spec *s = NULL;
    struct step_spec spec = {0};
    static char word[1 << 16];
    const char *p;
    size_t n = 0, n_words = 0;
    struct err err;

    if (shell_make_spec(&q, &s, &err) < 0)
        abort();
    shell_spec_fill(s, &spec);
    if (spec.script_len != size || memcmp(spec.script, data, size) != 0)
        abort();
    for (p = spec.argv[2]; p != NULL && *p != '\0'; n_words++)
        p = take_word(p, word, &n);
    if (p == NULL || n_words < 2 || n_words > 3 || strcmp(word, STEP_DIR "/_script.sh") != 0)
        abort();
    return 0;
}
