/* What ssmctl makes of bytes that are not its own: a JSON string of them must be JSON however they
 * are cut, and on a terminal they must be one line without control characters. The first byte says
 * how they are cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"
#include "schema/json.h"

#define MAX_INPUT 65536u

static char *write_json(const char *bytes, size_t n, size_t step)
{
    struct jsonw_pieces carry = {.n = 0};
    char *text = NULL;
    struct jsonw w;
    size_t size, at;
    FILE *f = open_memstream(&text, &size);

    if (f == NULL)
        abort();
    jsonw_init(&w, f);
    jsonw_begin_str(&w, NULL);
    for (at = 0; at < n; at += step)
        jsonw_add_str(&w, &carry, bytes + at, n - at < step ? n - at : step);
    jsonw_end_str(&w, &carry);
    if (fclose(f) != 0 || w.failed != 0)
        abort();
    return text;
}

static void check_json(const char *bytes, size_t n, size_t step)
{
    char *whole = write_json(bytes, n, n + 1), *cut = write_json(bytes, n, step);
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct err err;

    if (strcmp(whole, cut) != 0)
        abort();
    if (json_parse(cut, strlen(cut), 8u * MAX_INPUT, JSON_MEND, "fuzz", &root, &err) < 0)
        abort();
    free(whole);
    free(cut);
}

static void check_text(const char *bytes, size_t n)
{
    AUTO(buf_done) struct buf in, out;
    size_t i;

    buf_init(&in, MAX_INPUT);
    buf_init(&out, 4u * MAX_INPUT);
    (void)buf_add(&in, bytes, n); /* n is below the bound */
    text_add(&out, buf_str(&in));
    if (!str_is_utf8(buf_str(&out), out.len))
        abort();
    for (i = 0; i < out.len; i++)
        if ((unsigned char)out.data[i] < 0x20 || out.data[i] == 0x7f)
            abort();
    if (text_width(buf_str(&in)) != text_width(buf_str(&out)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_INPUT)
        return 0;
    check_json((const char *)data + 1, size - 1, 1u + data[0] % 16u);
    check_text((const char *)data + 1, size - 1);
    return 0;
}
