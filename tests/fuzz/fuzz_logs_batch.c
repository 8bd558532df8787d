/* Log events from whatever a script wrote: every byte is used up in some batch, no event is empty
 * or too large, and the events are JSON. The first byte says how the bytes end. */
#include <stdlib.h>
#include <string.h>

#include "schema/json.h"
#include "transport/logs.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void check_events(const struct logs_batch *batch)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    AUTO(buf_done) struct buf text = {0};
    const cJSON *event;
    struct err err;
    unsigned count = 0;

    buf_init(&text, 16u << 20);
    if (buf_printf(&text, "[%s]", buf_str(&batch->events)) < 0 ||
        json_parse(text.data, text.len, 16u << 20, JSON_MEND, "events", &root, &err) < 0)
        abort();
    cJSON_ArrayForEach(event, root)
    {
        const char *message = cJSON_GetStringValue(json_get_exact(event, "message"));

        count++;
        if (message == NULL || message[0] == '\0' || strlen(message) > 3 * LOGS_MAX_EVENT_BYTES)
            abort();
    }
    if (count != batch->n_events || count > LOGS_MAX_EVENTS)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    enum logs_rest rest;
    size_t at = 0;
    struct err err;

    if (n == 0)
        return 0;
    rest = (enum logs_rest)(data[0] % 3);
    data++;
    n--;
    while (at < n) {
        AUTO(logs_batch_done) struct logs_batch batch = {.n_events = 0};

        if (logs_batch_make((const char *)data + at, n - at, true, rest, 7, &batch, &err) < 0)
            abort();
        check_events(&batch);
        if (batch.n_bytes > n - at || (batch.n_bytes == 0 && rest != LOGS_REST_LATER))
            abort();
        if (batch.n_bytes == 0)
            break; /* an unfinished line waits */
        at += batch.n_bytes;
    }
    return 0;
}
