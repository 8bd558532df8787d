/* The records of ssmd-stager from any bytes: what is taken can be stored, printed, and written
 * again to mean the same. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/version.h"
#include "update/stager_protocol.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void answer(const char *bytes, size_t n)
{
    AUTO(buf_done) struct buf text = {0};
    struct stager_answer a, again;
    struct err err = {0};
    const char *p;

    if (stager_answer_parse(bytes, n, &a, &err) < 0) {
        must(err.text[0] != '\0');
        return;
    }
    must(a.target[0] == '\0' || version_is_valid(a.target));
    must(strchr(a.code, '/') == NULL && str_is_utf8(a.text, strlen(a.text)));
    for (p = a.text; *p != '\0'; p++)
        must((unsigned char)*p >= ' ' && *p != 0x7f);
    buf_init(&text, STAGER_MAX_ANSWER_BYTES);
    stager_answer_write(&a, &text);
    must(text.failed == 0);
    must(stager_answer_parse(text.data, text.len, &again, &err) == 0);
    must(a.verdict == again.verdict && str_eq(a.text, again.text) && str_eq(a.url, again.url));
}

static void request(const char *bytes, size_t n)
{
    static struct stager_request q;
    struct err err = {0};

    if (stager_request_parse(bytes, n, &q, &err) < 0) {
        must(err.text[0] != '\0');
        return;
    }
    must(q.phase < STAGER_N_PHASES && version_is_valid(q.from));
    must(q.phase < STAGER_VERIFY || (version_is_valid(q.target) && strlen(q.sha256) == 64));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    if (n == 0)
        return 0;
    if (data[0] % 2 == 0)
        answer((const char *)data + 1, n - 1);
    else
        request((const char *)data + 1, n - 1);
    return 0;
}
