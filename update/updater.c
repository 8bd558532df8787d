/* ssmd-updater: command line, and the loop that brings an order to its end. */
#define LOG_MODULE "updater"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "update/updater_internal.h"

#define LOCK_WAIT_MS 2000

static const char usage[] =
    "usage: ssmd-updater switch [--root DIR]\n"
    "       ssmd-updater guard [--root DIR]\n"
    "       ssmd-updater supervise [--root DIR] [-- SSMD-OPTION ...]\n"
    "       ssmd-updater status [--root DIR] [--json]\n"
    "       ssmd-updater install [--root DIR] [--from DIR] [--unit]\n"
    "       ssmd-updater note-end [--root DIR]\n"
    "       ssmd-updater --version | --help\n"
    "\n"
    "Switches ssmd from one version slot to another, watches the new version, goes back.\n"
    "\n"
    "  switch       work on the order that ssmd has written; started by ssmd and at boot\n"
    "  guard        before each start of ssmd: count it, go back when there are too many\n"
    "  supervise    run ssmd where there is no service manager\n"
    "  status       which versions there are, and how an update goes\n"
    "  install      make the first slot, of the programs beside this one or in --from DIR\n"
    "  note-end     after each end of ssmd: keep its status, as systemd gives it\n"
    "\n"
    "See ssmd-updater(8).\n";

static const struct {
    const char *name;
    int (*run)(const struct updater_options *o);
} verbs[] = {{"switch", verb_switch}, {"guard", verb_guard},     {"supervise", verb_supervise},
             {"status", verb_status}, {"install", verb_install}, {"note-end", verb_note_end}};

void updater_pause_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    (void)nanosleep(&t, NULL); /* a shorter pause harms nothing */
}

int updater_open(struct updater *u, const char *root, bool may_make, struct err *err)
{
    int r;

    *u = (struct updater){.slots = {-1, -1}, .update_fd = -1, .lock_fd = -1};
    if ((r = paths_init(&u->paths, root, err)) < 0 ||
        (r = clock_read_boot_id(NULL, u->boot_id, err)) < 0 ||
        (r = slots_open(u->paths.slots_dir, false, &u->slots, err)) < 0)
        return r;
    return may_make ? fs_make_path(u->paths.update_dir, &u->update_fd, err)
                    : fs_open_dir(AT_FDCWD, u->paths.update_dir, &u->update_fd, err);
}

void updater_close(struct updater *u)
{
    slots_done(&u->slots);
    close_fd_cleanup(&u->update_fd);
    handover_unlock(u);
    if (u->inst.machine != NULL)
        fsm_instance_done(&u->inst);
}

static void begin(struct updater *u)
{
    struct err err;

#ifdef SSMD_BREAK_SWITCH_BEFORE_ORDER /* negative control */
    (void)!slots_point(&u->slots, SLOTS_CURRENT, handover_of(&u->inst)->to_version, NULL);
    (void)handover_decide(u, HANDOVER_EV_BEGIN, NULL);
    return;
#endif
    if (effect_check(u, &err) < 0)
        (void)handover_decide(u, HANDOVER_EV_FAILED, err.text);
    else
        (void)handover_decide(u, HANDOVER_EV_BEGIN, NULL);
}

/* From wherever it is to its end. */
static void run_to_end(struct updater *u)
{
    while (handover_is_open(&u->inst)) {
        if (u->inst.state == HANDOVER_ORDERED)
            begin(u);
        else if (u->inst.n_effects > 0)
            effect_perform(u, &u->inst.effects[0]);
        else /* a record that nobody of us wrote: the way back opens its effects anew */
            handover_turn_back(u, "the record of the update has nothing to do in it");
        if (u->inst.state != HANDOVER_ORDERED && handover_is_open(&u->inst) &&
            u->inst.n_effects == 0 && !handover_is_forward(&u->inst))
            return;
    }
}

static int work(struct updater *u, struct err *err)
{
    int r;

    for (;;) {
        if ((r = handover_load(u, err)) < 0)
            return r;
        if (!handover_is_open(&u->inst))
            return 0;
        run_to_end(u);
        if (handover_is_open(&u->inst))
            return err_set(err, ERR_CORRUPT,
                           "the record of update %s stands at %s and says "
                           "nothing of what is to be done",
                           u->inst.id, fsm_state_name(&u->inst));
    }
}

int verb_switch(const struct updater_options *o)
{
    struct updater u;
    struct err err;
    int r = updater_open(&u, o->root, false, &err);

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)umask(077);
    if (r == 0)
        r = handover_lock(&u, LOCK_WAIT_MS, &err);
    if (r == 0)
        r = work(&u, &err);
    updater_close(&u);
    if (r == ERR_NOT_FOUND || r == ERR_BUSY)
        log_info("nothing to do%s: %s", r == ERR_NOT_FOUND ? ", no update is under way" : "",
                 err.text);
    else if (r < 0)
        log_error("%s", err.text);
    if (r == 0 || r == ERR_NOT_FOUND || r == ERR_BUSY)
        return UPDATER_OK;
    return err_class_of(r) == ERR_CLASS_RETRY ? UPDATER_SYSTEM : UPDATER_NO;
}

static int misunderstood(const char *what, const char *word)
{
    (void)fprintf(stderr, "ssmd-updater: %s%s%s%s\ntry: ssmd-updater --help\n", what,
                  word != NULL ? " \"" : "", word != NULL ? word : "", word != NULL ? "\"" : "");
    return UPDATER_USAGE;
}

static int parse(int argc, char **argv, struct updater_options *o, const char **ret_verb)
{
    static const struct option longs[] = {
        {"root", required_argument, NULL, 'r'},
        {"from", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"unit", no_argument, NULL, 'u'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *ret_verb = NULL;
    while ((c = getopt_long(argc, argv, "-", longs, NULL)) != -1) { /* words in their order */
        switch (c) {
        case 1:
            if (*ret_verb != NULL)
                return misunderstood("nothing is done with", optarg);
            *ret_verb = optarg;
            break;
        case 'r':
            o->root = optarg;
            break;
        case 'f':
            o->from = optarg;
            break;
        case 'j':
            o->is_json = true;
            break;
        case 'u':
            o->has_unit = true;
            break;
        case 'v':
            (void)printf("ssmd-updater %s\n", ssmd_version);
            exit(UPDATER_OK);
        case 'h':
            (void)fputs(usage, stdout);
            exit(UPDATER_OK);
        default:
            return misunderstood("an option is not understood", NULL);
        }
    }
    o->rest = argv + optind;
    return UPDATER_OK;
}

int main(int argc, char **argv)
{
    struct updater_options o = {0};
    const char *verb;
    size_t i;
    int r = parse(argc, argv, &o, &verb);

    if (r != UPDATER_OK)
        return r;
    if (verb == NULL)
        return misunderstood("there is no verb", NULL);
    for (i = 0; i < ARRAY_LEN(verbs); i++)
        if (str_eq(verb, verbs[i].name))
            break;
    if (i == ARRAY_LEN(verbs))
        return misunderstood("there is no verb", verb);
    if (o.rest[0] != NULL && verbs[i].run != verb_supervise)
        return misunderstood("nothing is done with", o.rest[0]);
    return verbs[i].run(&o);
}
