/* Output streams as replies carry them: bounded, valid UTF-8, never cut inside a character. Limits
 * count the bytes of the stream, as the reference does; a byte that is not UTF-8 is sent as U+FFFD.
 */
#include <string.h>

#include "base/str.h"
#include "schema/reply.h"

#define ERROR_TITLE "\n----------ERROR-------\n"
#define OUT_MARKER "\n---Output truncated---"
#define ERROR_MARKER "\n---Error truncated----"
#define LEN(literal) (sizeof(literal) - 1)

static void add_utf8(struct buf *b, const char *s, size_t n)
{
    size_t i = 0, good;

    while (i < n) {
        size_t w;

        for (good = i; good < n && (w = str_utf8_len(s + good, n - good)) > 0;)
            good += w;
        (void)buf_add(b, s + i, good - i);
        i = good;
        if (i < n) {
            (void)buf_add(b, "\xef\xbf\xbd", 3);
            i++;
        }
    }
}

void reply_truncate_stream(const char *s, size_t n, struct buf *b)
{
    if (n < REPLY_STREAM_BYTES) {
        add_utf8(b, s, n);
        return;
    }
    add_utf8(b, s, str_utf8_cut(s, n, REPLY_STREAM_BYTES - LEN(REPLY_STREAM_SUFFIX)));
    (void)buf_add_str(b, REPLY_STREAM_SUFFIX);
}

void reply_combine_output(const char *out, size_t n_out, const char *error, size_t n_error,
                          struct buf *b)
{
    const char *title = n_error > 0 ? ERROR_TITLE : "";
    size_t room = REPLY_OUTPUT_BYTES - strlen(title);
    size_t keep_out = n_out, keep_error = n_error;
    bool cuts_out = false, cuts_error = false;

    if (n_out + n_error >= room) {
        cuts_out = n_out > room / 2;
        cuts_error = !cuts_out || n_error > room / 2;
        if (cuts_out && cuts_error)
            keep_out = keep_error = (room - LEN(OUT_MARKER) - LEN(ERROR_MARKER)) / 2;
        else if (cuts_error)
            keep_error = room - LEN(ERROR_MARKER) - n_out;
        else
            keep_out = room - LEN(OUT_MARKER) - n_error;
    }
    add_utf8(b, out, str_utf8_cut(out, n_out, keep_out));
    if (cuts_out)
        (void)buf_add_str(b, OUT_MARKER);
    (void)buf_add_str(b, title);
    add_utf8(b, error, str_utf8_cut(error, n_error, keep_error));
    if (cuts_error)
        (void)buf_add_str(b, ERROR_MARKER);
}
