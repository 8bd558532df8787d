/* What a running ssmd says of itself, in lines for people. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "ctl/client.h"
#include "ctl/status_internal.h"
#include "ctl/text.h"
#include "schema/json.h"

#define CLOCK_OFFSET_WORTH_A_LINE_MS 1000
#define MAX_LINE_BYTES 4096u

int status_live_ask(const struct paths *paths, cJSON **ret_status, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf question = {0};
    int r;

    buf_init(&question, 64);
    (void)buf_add_str(&question, "{\"op\":\"status\"}"); /* client_ask() looks at buf_error() */
    r = client_ask(paths, &question, &answer, err);
    if (r < 0)
        return r;
    *ret_status = cJSON_DetachItemFromObjectCaseSensitive(answer, "status");
    if (!cJSON_IsObject(*ret_status)) {
        cJSON_Delete(*ret_status);
        *ret_status = NULL;
        return err_set(err, ERR_PROTOCOL,
                       "ssmd's answer has no status: are ssmctl and ssmd of the same version?");
    }
    return 0;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(json_get_exact(object, name));

    return text != NULL ? text : "";
}

static int64_t number_of(const cJSON *object, const char *name)
{
    const cJSON *v = json_get_exact(object, name);

    return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

bool status_live_is_healthy(const cJSON *status)
{
    const char *state = text_of(json_get_exact(status, "journal"), "state");

    return !str_eq(state, "suspended") && !str_eq(state, "full");
}

/* "name      text", or nothing when there is no text. */
static void put_fact(FILE *f, const char *name, const struct buf *text)
{
    if (text->len == 0)
        return;
    (void)fprintf(f, "%-12s ", name);
    text_put(f, buf_str(text));
    (void)fputc('\n', f);
}

/* ", " between the parts of one line. */
static void add_part(struct buf *b, const char *before, const char *text)
{
    if (text[0] != '\0')
        (void)buf_printf(b, "%s%s%s", b->len > 0 ? ", " : "", before, text); /* cut is fine */
}

static void describe_process(struct buf *b, const cJSON *status)
{
    char at[TEXT_SHORT_SIZE], since[TEXT_SHORT_SIZE];
    int64_t started = number_of(status, "started_unix_ms"), now = clock_wall_ms();

    text_time(started, now, at);
    text_duration(now - started, since);
    (void)buf_printf(b, "%s is running: pid %" PRId64 ", since %s (%s)", text_of(status, "version"),
                     number_of(status, "pid"), at, since);
    if (cJSON_IsTrue(json_get_exact(status, "reboot_pending")))
        add_part(b, "", "a reboot is pending");
}

static void describe_channel(struct buf *b, const cJSON *channel)
{
    char at[TEXT_SHORT_SIZE];
    int64_t now = clock_wall_ms(), failures = number_of(channel, "n_failures");
    bool is_connected = cJSON_IsTrue(json_get_exact(channel, "is_connected"));

    if (channel == NULL)
        return;
    add_part(b, text_of(channel, "name"),
             cJSON_IsTrue(json_get_exact(channel, "is_paused"))   ? ": not polled now"
             : is_connected                                       ? ": connected"
             : cJSON_IsTrue(json_get_exact(channel, "is_denied")) ? ": denied"
                                                                  : ": not connected");
    text_time(number_of(channel, "last_success_unix_ms"), now, at);
    add_part(b, "last answer ", str_eq(at, "-") ? "never" : at);
    if (failures > 0)
        (void)buf_printf(b, ", %" PRId64 " failure%s in a row", failures, failures == 1 ? "" : "s");
    add_part(b, "", text_of(channel, "text"));
    if (!is_connected && number_of(channel, "next_try_unix_ms") != 0) {
        text_time(number_of(channel, "next_try_unix_ms"), now, at);
        add_part(b, "next try ", at);
    }
}

/* The channel that is not in use: why not, or that it stands by. */
static void put_other_channels(FILE *f, const cJSON *status, struct buf *b)
{
    const char *used = text_of(json_get_exact(status, "channel"), "name");
    const cJSON *channel;

    cJSON_ArrayForEach(channel, json_get_exact(status, "channels"))
    {
        if (str_eq(text_of(channel, "name"), used))
            continue;
        buf_clear(b);
        describe_channel(b, channel);
        put_fact(f, "besides", b);
    }
}

static void describe_journal(struct buf *b, const cJSON *journal)
{
    char size[TEXT_SHORT_SIZE];

    if (journal == NULL)
        return;
    text_size(number_of(journal, "size_bytes"), size);
    add_part(b, "", text_of(journal, "state"));
    add_part(b, "", text_of(journal, "text"));
    add_part(b, "", size);
    (void)buf_printf(b, ", %" PRId64 " commits since its start", number_of(journal, "n_commits"));
}

/* Worth a line while something is wrong only. */
static void describe_health(struct buf *b, const cJSON *health)
{
    char at[TEXT_SHORT_SIZE];

    if (health == NULL || text_of(health, "text")[0] == '\0')
        return;
    add_part(b, "",
             cJSON_IsTrue(json_get_exact(health, "is_known"))
                 ? "the service did not take the last report"
                 : "waiting: the service does not know yet that this node is there");
    add_part(b, "", text_of(health, "text"));
    if (number_of(health, "next_try_unix_ms") != 0) {
        text_time(number_of(health, "next_try_unix_ms"), clock_wall_ms(), at);
        add_part(b, "next try ", at);
    }
}

/* Likewise. */
static void describe_uploads(struct buf *b, const cJSON *uploads)
{
    int64_t n = number_of(uploads, "n"), n_waiting = number_of(uploads, "n_waiting");

    if (uploads == NULL || n_waiting == 0)
        return;
    (void)buf_printf(b, "%" PRId64 " of %" PRId64 " wait for another try", n_waiting, n);
    add_part(b, "", text_of(uploads, "text"));
}

static void describe_config(struct buf *b, const cJSON *config)
{
    const cJSON *waiting = json_get_exact(config, "needs_restart"), *key;
    int64_t n = number_of(config, "n_warnings");

    if (text_of(config, "text")[0] != '\0') {
        add_part(b, "not reloaded: ", text_of(config, "text"));
        return;
    }
    if (n > 0)
        (void)buf_printf(b, "%" PRId64 " warning%s in %s: see `ssmctl config check`", n,
                         n == 1 ? "" : "s", text_of(config, "path"));
    if (cJSON_GetArraySize(waiting) > 0)
        add_part(b, "", "changed, and waiting for a restart of ssmd:");
    cJSON_ArrayForEach(key, waiting)
    {
        if (cJSON_IsString(key))
            (void)buf_printf(b, " %s", key->valuestring); /* cut is fine */
    }
}

static void describe_endpoints(struct buf *b, const cJSON *endpoints)
{
    const cJSON *e;

    cJSON_ArrayForEach(e, endpoints)
    {
        if (cJSON_IsString(e) && e->valuestring[0] != '\0') {
            add_part(b, e->string, " ");
            (void)buf_add_str(b, e->valuestring); /* cut is fine */
        }
    }
}

void status_live_print_facts(const cJSON *status, FILE *f)
{
    const cJSON *credentials = json_get_exact(status, "credentials");
    int64_t offset_ms = number_of(status, "clock_offset_ms");
    char text[TEXT_SHORT_SIZE];
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, MAX_LINE_BYTES);
    describe_process(&b, status);
    put_fact(f, "ssmd", &b);
    buf_clear(&b);
    add_part(&b, "", text_of(status, "instance_id"));
    add_part(&b, "", text_of(status, "region"));
    add_part(&b, "boot ", text_of(status, "boot_id"));
    put_fact(f, "node", &b);
    buf_clear(&b);
    describe_channel(&b, json_get_exact(status, "channel"));
    put_fact(f, "channel", &b);
    put_other_channels(f, status, &b);
    buf_clear(&b);
    describe_health(&b, json_get_exact(status, "health"));
    put_fact(f, "health", &b);
    buf_clear(&b);
    describe_uploads(&b, json_get_exact(status, "uploads"));
    put_fact(f, "uploads", &b);
    buf_clear(&b);
    describe_endpoints(&b, json_get_exact(status, "endpoints"));
    put_fact(f, "endpoints", &b);
    buf_clear(&b);
    add_part(&b, "", text_of(credentials, "text"));
    put_fact(f, "credentials", &b);
    buf_clear(&b);
    describe_config(&b, json_get_exact(status, "config"));
    put_fact(f, "config", &b);
    buf_clear(&b);
    describe_journal(&b, json_get_exact(status, "journal"));
    put_fact(f, "journal", &b);
    buf_clear(&b);
    if (offset_ms >= CLOCK_OFFSET_WORTH_A_LINE_MS || offset_ms <= -CLOCK_OFFSET_WORTH_A_LINE_MS) {
        text_duration(offset_ms < 0 ? -offset_ms : offset_ms, text);
        (void)buf_printf(&b, "the service's is %s %s", text, offset_ms < 0 ? "behind" : "ahead");
    }
    put_fact(f, "clock", &b);
    buf_clear(&b);
    (void)buf_printf(&b, "%" PRId64 " running, %" PRId64 " queued, %" PRId64 " to be reported",
                     number_of(status, "n_running"), number_of(status, "n_queued"),
                     number_of(status, "n_reporting"));
    put_fact(f, "jobs", &b);
}

void status_live_print_errors(const cJSON *status, FILE *f)
{
    const cJSON *errors = json_get_exact(status, "last_errors"), *e;

    if (cJSON_GetArraySize(errors) == 0)
        return;
    (void)fputs("\nWhat went wrong last in ssmd:\n", f);
    cJSON_ArrayForEach(e, errors)
    {
        char at[TEXT_SHORT_SIZE];

        text_time(number_of(e, "at_unix_ms"), clock_wall_ms(), at);
        (void)fprintf(f, "  %s  ", at);
        text_put(f, text_of(e, "text"));
        (void)fputc('\n', f);
    }
}
