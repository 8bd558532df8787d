/* Has it proven itself, will it never, or shall the watch go on? Pure: a table of moments tests it.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "update/updater_internal.h"

#define CONFIRM_MS 5000 /* the old version has proven itself before: it has to come up only */

static enum watch_verdict say(enum watch_verdict verdict, char *ret_text, size_t size,
                              const char *text)
{
    (void)str_copy(ret_text, size, text); /* may be cut */
    return verdict;
}

/* What was never right: no time helps. */
static bool is_hopeless(const struct watch_view *v, char *ret_text, size_t size)
{
    const struct handover_health *h = &v->health;

    if (v->n_starts > HANDOVER_MAX_STARTS) {
        bool has_said = v->has_health && str_eq(h->version, v->version) && h->failed[0] != '\0';

        (void)snprintf(ret_text, size,
                       "version %s was started %" PRId64 " times and did not stay%s%s%s%s",
                       v->version, v->n_starts, v->ended[0] != '\0' ? ": " : "", v->ended,
                       has_said ? ": " : "", has_said ? h->failed : "");
        return true;
    }
    if (v->is_new && v->has_health && v->is_alive && !str_eq(h->version, v->version)) {
        (void)snprintf(ret_text, size, "version %s runs where version %s was to run", h->version,
                       v->version);
        return true;
    }
    if (v->is_new && v->max_rss_bytes > 0 && v->rss_bytes > v->max_rss_bytes) {
        (void)snprintf(ret_text, size,
                       "version %s uses %" PRId64 " MiB of memory; its limit is %" PRId64 " MiB",
                       v->version, v->rss_bytes >> 20, v->max_rss_bytes >> 20);
        return true;
    }
    /* While it opens its journal it may be busy for long; the deadline ends that. */
    if (v->is_new && v->silent_ms > HANDOVER_SILENCE_MS && (!v->has_health || h->has_journal)) {
        (void)snprintf(ret_text, size, "version %s hangs: %s for %" PRId64 " s", v->version,
                       v->has_health ? "nothing was heard of it" : "it has said nothing",
                       v->silent_ms / 1000);
        return true;
    }
    return false;
}

static void describe_lack(const struct watch_view *v, char *ret_text, size_t size)
{
    const struct handover_health *h = &v->health;
    const char *lack = "it did not stay up for long enough";

    if (!v->has_health || !v->is_alive)
        lack = v->is_running         ? "it has said nothing of itself"
               : v->ended[0] != '\0' ? v->ended
                                     : "it does not run";
    else if (!h->has_journal)
        lack = "it has not opened its journal";
    else if (!h->has_steps)
        lack = "it has not found all running steps again";
    else if (!h->has_service)
        lack = "it has not reached the service";
    (void)snprintf(ret_text, size, "version %s did not prove itself within %" PRId64 " s: %s%s%s",
                   v->version, v->deadline_ms / 1000, lack,
                   v->has_health && v->is_alive && h->lacking[0] != '\0' ? ": " : "",
                   v->has_health && v->is_alive ? h->lacking : "");
}

static enum watch_verdict judge_old(const struct watch_view *v, char *ret_text, size_t size)
{
    if (v->has_health && v->is_alive && str_eq(v->health.version, v->version) &&
        v->health.has_journal &&
        v->alive_ms >= (v->proving_ms < CONFIRM_MS ? v->proving_ms : CONFIRM_MS))
        return say(WATCH_PROVEN, ret_text, size, "");
    return v->is_overdue
               ? say(WATCH_OVERDUE, ret_text, size, "the old version was not seen to come up")
               : WATCH_GO_ON;
}

enum watch_verdict watch_judge(const struct watch_view *v, char *ret_text, size_t size)
{
    const struct handover_health *h = &v->health;
    bool is_up = v->has_health && v->is_alive;

    if (is_hopeless(v, ret_text, size))
        return WATCH_UNHEALTHY;
    if (!v->is_new)
        return judge_old(v, ret_text, size);
    if (is_up && h->has_journal && h->has_steps && h->has_service && v->alive_ms >= v->proving_ms)
        return say(WATCH_PROVEN, ret_text, size, "");
    if (!v->is_overdue)
        return WATCH_GO_ON;
    describe_lack(v, ret_text, size);
    /* An outage that was there before excuses what needs the service, and nothing else. */
    return v->is_service_away && is_up && h->has_journal && !h->has_service ? WATCH_OVERDUE
           : v->is_service_away                                             ? WATCH_UNHEALTHY
                                                                            : WATCH_OVERDUE;
}
