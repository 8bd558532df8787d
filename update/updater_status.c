/* Which versions there are, and how an update goes. Reads only. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "update/updater_internal.h"

static const char *const link_words[SLOTS_N_LINKS] = {"current", "proven", "previous"};

struct status {
    char links[SLOTS_N_LINKS][SLOTS_VERSION_SIZE]; /* "": none */
    bool has_order, has_progress, has_health, is_worked_on;
    struct handover_health health;
    int64_t n_starts;
    pid_t agent; /* 0: none runs */
};

static void look(struct updater *u, struct status *ret)
{
    struct proc p;
    size_t i;

    for (i = 0; i < SLOTS_N_LINKS; i++)
        if (slots_get(&u->slots, (enum slots_link)i, ret->links[i], NULL) < 0)
            ret->links[i][0] = '\0';
    if (agent_lock_holder(AT_FDCWD, u->paths.pid_file, &p, NULL) == 0)
        ret->agent = p.pid;
    if (u->update_fd < 0)
        return;
    ret->has_order = handover_read_order(u->update_fd, &u->order, NULL) == 0;
    ret->has_progress = handover_read_progress(u->update_fd, &u->inst, NULL) == 0;
    ret->has_health = handover_read_health(u->update_fd, &ret->health, NULL) == 0;
    ret->is_worked_on = agent_lock_holder(u->update_fd, HANDOVER_LOCK, &p, NULL) == 0;
    ret->n_starts = agent_count_starts(u);
}

static void print_words(const struct updater *u, const struct status *s)
{
    size_t i;

    for (i = 0; i < SLOTS_N_LINKS; i++)
        (void)printf("%-9s %s\n", link_words[i], s->links[i][0] != '\0' ? s->links[i] : "(none)");
    if (s->agent != 0)
        (void)printf("agent     process %ld\n", (long)s->agent);
    else
        (void)puts("agent     does not run");
    if (s->has_order)
        (void)printf("order     %s to %s (%s)\n", u->order.from, u->order.to, u->order.id);
    if (s->has_progress) {
        const struct handover *h = handover_of(&u->inst);

        (void)printf("update    %s%s%s%s\n", fsm_state_name(&u->inst),
                     h->cause[0] != '\0' ? ": " : "", h->cause,
                     handover_is_open(&u->inst) && !s->is_worked_on
                         ? " (nobody works on it; start: ssmd-updater switch)"
                         : "");
        if (handover_is_open(&u->inst) && s->has_health)
            (void)printf("health    version %s: %s\n", s->health.version,
                         s->health.lacking[0] != '\0' ? s->health.lacking
                                                      : "it has reached all that it must");
    }
}

static void add_str(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, "\"%s\":", name); /* buf_error() tells */
    (void)buf_add_json_str(b, value, strlen(value));
    (void)buf_add_char(b, ',');
}

static void print_json(const struct updater *u, const struct status *s)
{
    AUTO(buf_done) struct buf b = {0};
    size_t i;

    buf_init(&b, 64u << 10);
    (void)buf_add_char(&b, '{');
    for (i = 0; i < SLOTS_N_LINKS; i++)
        add_str(&b, link_words[i], s->links[i]);
    if (s->has_order) {
        add_str(&b, "update", u->order.id);
        add_str(&b, "from", u->order.from);
        add_str(&b, "to", u->order.to);
    }
    if (s->has_progress) {
        const struct handover *h = handover_of(&u->inst);

        add_str(&b, "progress_of", u->inst.id);
        add_str(&b, "state", fsm_state_name(&u->inst));
        add_str(&b, "cause", h->cause);
        (void)buf_printf(&b, "\"is_open\":%s,\"is_doubtful\":%s,",
                         handover_is_open(&u->inst) ? "true" : "false",
                         h->is_doubtful != 0 ? "true" : "false");
    }
    if (s->has_health) {
        add_str(&b, "health_of", s->health.version);
        add_str(&b, "lacking", s->health.lacking);
    }
    (void)buf_printf(&b, "\"is_worked_on\":%s,\"starts\":%" PRId64 ",\"agent_pid\":%ld}\n",
                     s->is_worked_on ? "true" : "false", s->n_starts, (long)s->agent);
    if (buf_error(&b, "the status", NULL) == 0)
        (void)fputs(b.data, stdout);
}

int verb_status(const struct updater_options *o)
{
    struct status s = {.n_starts = 0};
    struct updater u;
    struct err err;

    if (updater_open(&u, o->root, false, &err) < 0 && u.slots.dir_fd < 0) {
        if (err.code == ERR_NOT_FOUND)
            (void)fprintf(stderr,
                          "ssmd-updater: no version of ssmd is in a slot here (%s); ssmd-updater "
                          "install makes the first\n",
                          err.text);
        else
            (void)fprintf(stderr, "ssmd-updater: %s\n", err.text);
        updater_close(&u);
        return UPDATER_NO;
    }
    look(&u, &s);
    if (o->is_json)
        print_json(&u, &s);
    else
        print_words(&u, &s);
    updater_close(&u);
    return fflush(stdout) == 0 ? UPDATER_OK : UPDATER_SYSTEM;
}
