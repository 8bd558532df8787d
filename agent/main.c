/* ssmd: command line, start, stop. */
#define LOG_MODULE "main"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/clock_watch.h"
#include "agent/ctl_server.h"
#include "agent/doctor.h"
#include "agent/engine.h"
#include "agent/libraries.h"
#include "agent/manager.h"
#include "agent/node.h"
#include "agent/probation.h"
#include "agent/register_cli.h"
#include "agent/service.h"
#include "agent/settings.h"
#include "agent/setup.h"
#include "agent/upkeep.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"

static const char usage[] =
    "usage: ssmd [--root DIR] [--config FILE] [--log LEVELS]\n"
    "       ssmd --check-config [--root DIR] [--config FILE]\n"
    "       ssmd register [option ...]      (see: ssmd register --help)\n"
    "       ssmd doctor [--root DIR] [--config FILE] [--json]\n"
    "       ssmd --version | --help\n"
    "\n"
    "An AWS Systems Manager agent. It runs in the foreground and logs to standard error.\n"
    "\n"
    "  --root DIR       keep everything below DIR: DIR/var/lib/ssmd, DIR/run/ssmd, DIR/etc/ssmd\n"
    "  --config FILE    in place of /etc/ssmd/ssmd.json or /etc/amazon/ssm/amazon-ssm-agent.json\n"
    "  --log LEVELS     error, warning, info or debug, also by module: info,engine:debug\n"
    "  --check-config   read the configuration, say what in it has no effect, and end\n"
    "\n"
    "See ssmd(8), ssmd.json(5), and ssmctl(1) for what it is doing.\n";

#define STOP_MS 5000 /* then nothing is waited for any more */

struct options {
    const char *root, *config, *log;
    bool is_check;
};

struct agent {
    uv_loop_t loop;
    struct paths paths;
    struct config config; /* in force; a reload changes some of it */
    struct settings *settings;
    struct platform platform;
    char boot_id[BOOT_ID_SIZE];
    int pid_fd;
    int64_t started_unix_ms;
    bool is_started;
    struct journal *journal;
    struct engine *engine;
    struct registrar *registrar;
    struct node_finder *finder;
    struct clock_watch *clock_watch;
    struct service *service; /* NULL until it is known who this node is */
    struct err service_err;  /* why there is none though it is known */
    struct ctl_server *ctl;
    struct upkeep *upkeep;
    struct manager *manager;     /* NULL: nobody listens */
    struct probation *probation; /* NULL: no update is open */
    uv_signal_t term, interrupt, hangup;
    uv_timer_t stop_timer;
};

static int parse_options(int argc, char **argv, struct options *o, bool *ret_is_done)
{
    static const struct option longs[] = {
        {"root", required_argument, NULL, 'r'},
        {"config", required_argument, NULL, 'c'},
        {"log", required_argument, NULL, 'l'},
        {"check-config", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *ret_is_done = true;
    if (argc == 2 && str_eq(argv[1], "-version")) { /* scripts cut the reference's line apart */
        (void)printf("SSM Agent version: %s\n", ssmd_version_four);
        return EXIT_OK;
    }
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'r':
            o->root = optarg;
            break;
        case 'c':
            o->config = optarg;
            break;
        case 'l':
            o->log = optarg;
            break;
        case 'k':
            o->is_check = true;
            break;
        case 'v':
            (void)printf("ssmd %s\n", ssmd_version);
            return EXIT_OK;
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_OK;
        default:
            (void)fputs("try: ssmd --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr,
                      "ssmd: \"%s\" is not understood; ssmd takes options only\n"
                      "try: ssmd --help\n",
                      argv[optind]);
        return EXIT_USAGE;
    }
    *ret_is_done = false;
    return EXIT_OK;
}

static int read_config(struct agent *a, const struct options *o, struct err *err)
{
    static char dir[PATH_MAX];
    const struct settings_options so = {.live = &a->config,
                                        .paths = &a->paths,
                                        .program_dir = dir,
                                        .named_file = o->config,
                                        .log_levels = o->log};
    int r;

    setup_program_dir(dir, sizeof(dir));
    r = settings_new(&so, &a->settings, err);
    return r < 0 ? r : settings_read(a->settings, err);
}

static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warning("the limit of open files cannot be raised: %s", strerror(errno));
}

/* Every kind that was tried, and what came of it. */
static void add_identity(const struct agent *a, struct buf *b)
{
    const struct node *node = node_finder_node(a->finder);
    AUTO(buf_done) struct buf lines = {0};
    char *line, *rest;
    const char *before = "";

    buf_init(&lines, 4096);
    node_finder_describe(a->finder, &lines);
    (void)buf_printf(b, "\"identity\":{\"kind\":\"%s\",\"text\":\"",
                     node != NULL ? node->kind : "");
    for (rest = lines.data; rest != NULL && (line = strsep(&rest, "\n")) != NULL;) {
        AUTO(buf_done) struct buf quoted = {0};

        buf_init(&quoted, 4096);
        if (*line == '\0' || buf_add_json_str(&quoted, line, strlen(line)) < 0)
            continue;
        (void)buf_printf(b, "%s%.*s", before, (int)quoted.len - 2, quoted.data + 1);
        before = "; ";
    }
    (void)buf_add_str(b, "\"},");
}

static void add_status(void *ctx, struct buf *b)
{
    struct agent *a = ctx;

    (void)buf_printf(b,
                     "\"started_unix_ms\":%" PRId64
                     ",\"boot_id\":\"%s\",\"instance_id\":\"%s\",\"region\":\"%s\",",
                     a->started_unix_ms, a->boot_id, a->config.instance_id,
                     config_signing_region(&a->config));
    settings_add_status(a->settings, b);
    add_identity(a, b);
    if (a->service != NULL)
        service_add_status(a->service, b);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct agent *a = handle->data;

    (void)number;
    settings_reload(a->settings);
    if (a->service != NULL)
        service_report_health(a->service); /* by the frequency of now */
}

/* Whatever is waited for has its answer in the journal, or needs none. */
static void on_late_stop(uv_timer_t *timer)
{
    const struct agent *a = timer->data;

    log_warning("the resolver or the disk does not answer: ssmd ends without waiting for it");
    _exit(a->service_err.code != 0 ? setup_exit_status(&a->service_err) : EXIT_OK);
}

static void stop(struct agent *a)
{
    (void)uv_timer_start(&a->stop_timer, on_late_stop, STOP_MS, 0); /* callback is not NULL */
    ctl_server_stop(a->ctl);
    engine_stop(a->engine);
    service_stop(a->service);
    registrar_close(a->registrar); /* it uses the finder's client */
    a->registrar = NULL;
    node_finder_close(a->finder);
    clock_watch_close(a->clock_watch);
    upkeep_stop(a->upkeep);
    probation_close(a->probation);
    manager_close(a->manager);
    uv_close((uv_handle_t *)&a->term, NULL);
    uv_close((uv_handle_t *)&a->interrupt, NULL);
    uv_close((uv_handle_t *)&a->hangup, NULL);
    settings_unwatch(a->settings);
}

static void on_signal(uv_signal_t *handle, int number)
{
    log_info("%s: stopping; running steps go on and are taken up at the next start",
             strsignal(number));
    stop(handle->data);
}

/* These two: upkeep is not there yet while the engine takes up what it finds. */
static void on_jobs_ended(void *ctx, int64_t n_files)
{
    struct agent *a = ctx;

    manager_note(a->manager);
    if (a->upkeep != NULL)
        upkeep_note_end(a->upkeep, n_files);
}

static bool may_begin(void *ctx, int64_t n_open, int64_t n_more)
{
    struct agent *a = ctx;

    manager_note(a->manager);
    return a->upkeep == NULL || upkeep_may_begin(a->upkeep, n_open, n_more);
}

static void on_room(void *ctx)
{
    struct agent *a = ctx;

    engine_look_again(a->engine);
}

/* First of all: a SIGTERM in the middle of the start is answered like any other, once the loop
 * runs. */
static int catch_signals(struct agent *a, struct err *err)
{
    int r;

    (void)uv_signal_init(&a->loop, &a->term); /* these cannot fail on a fresh loop */
    (void)uv_signal_init(&a->loop, &a->interrupt);
    (void)uv_signal_init(&a->loop, &a->hangup);
    a->term.data = a->interrupt.data = a->hangup.data = a;
    r = uv_signal_start(&a->term, on_signal, SIGTERM);
    if (r == 0)
        r = uv_signal_start(&a->interrupt, on_signal, SIGINT);
    if (r == 0)
        r = uv_signal_start(&a->hangup, on_hangup, SIGHUP);
    return r < 0 ? err_set(err, ERR_SYSTEM, "signals: %s", uv_strerror(r)) : 0;
}

/* ---- who this node is ---- */

/* The rest of the agent reads it where a custom identity would stand. */
static void be_node(struct config *c, const struct node *n)
{
    (void)str_copy(c->instance_id, sizeof(c->instance_id), n->instance_id); /* all are as large */
    (void)str_copy(c->identity_region, sizeof(c->identity_region), n->region);
    (void)str_copy(c->availability_zone, sizeof(c->availability_zone), n->availability_zone);
    (void)str_copy(c->availability_zone_id, sizeof(c->availability_zone_id),
                   n->availability_zone_id);
    (void)str_copy(c->instance_type, sizeof(c->instance_type), n->instance_type);
}

static int serve(struct agent *a, const struct node *node, struct err *err)
{
    const struct service_options so = {.loop = &a->loop,
                                       .config = &a->config,
                                       .platform = &a->platform,
                                       .engine = a->engine,
                                       .credentials = node->credentials};
    int r;

    be_node(&a->config, node);
    engine_set_shared_credentials(a->engine, node->share_file, node->share_profile);
    if ((r = service_new(&so, &a->service, err)) < 0)
        return r;
    engine_add_link(a->engine, service_link(a->service));
    engine_add_link(a->engine, service_control_link(a->service));
    engine_set_lookup(a->engine, service_lookup(a->service));
    engine_set_parameter_source(a->engine, service_parameters(a->service));
    if ((r = engine_start(a->engine, err)) < 0)
        return r;
    if (a->ctl != NULL)
        ctl_server_set_lookup(a->ctl, service_lookup(a->service));
    service_start(a->service);
    log_info("ssmd %s serves %s in %s, boot %s", ssmd_version, a->config.instance_id,
             config_signing_region(&a->config), a->boot_id);
    return 0;
}

static void on_found(void *ctx, const struct node *node)
{
    struct agent *a = ctx;

    if (serve(a, node, &a->service_err) == 0)
        return;
    if (a->is_started) { /* else start() tells */
        log_error("%s", a->service_err.text);
        stop(a);
    }
}

static void on_credentials_changed(void *ctx)
{
    struct agent *a = ctx;

    if (a->service != NULL)
        service_wake(a->service);
}

static void on_clock_set(void *ctx)
{
    struct agent *a = ctx;

    log_info("this machine's clock was set");
    if (a->service != NULL)
        service_wake(a->service);
    else
        node_finder_wake(a->finder);
}

static void on_registered(void *ctx)
{
    struct agent *a = ctx;

    node_finder_wake(a->finder);
}

/* For whoever watches this version prove itself. */
static void look_at_self(void *ctx, struct handover_health *ret)
{
    struct agent *a = ctx;
    struct engine_status status;

    ret->has_journal = a->journal != NULL;
    if (!ret->has_journal)
        return;
    if (a->service == NULL) { /* steps are taken up once it is known whose they are */
        AUTO(buf_done) struct buf tried = {0};
        char *p;

        buf_init(&tried, 4096);
        node_finder_describe(a->finder, &tried);
        p = tried.data != NULL ? strchr(tried.data, '\n') : NULL;
        for (; p != NULL; p = strchr(p, '\n'))
            *p = p[1] != '\0' ? ';' : '\0';
        (void)snprintf(ret->lacking, sizeof(ret->lacking), "who this node is: %.150s",
                       buf_str(&tried));
        return;
    }
    engine_get_status(a->engine, &status);
    ret->has_steps = !status.is_suspended;
    ret->has_service = service_lookup(a->service)->is_in_reach(service_lookup(a->service));
    if (status.is_suspended)
        (void)str_copy(ret->lacking, sizeof(ret->lacking), status.journal_text); /* may be cut */
    else if (!ret->has_service)
        service_describe_trouble(a->service, ret->lacking, sizeof(ret->lacking));
}

/* ---- what the service manager is told ---- */

static bool is_in_reach(void *ctx)
{
    const struct agent *a = ctx;

    return a->service != NULL &&
           service_lookup(a->service)->is_in_reach(service_lookup(a->service));
}

static size_t add_count(char *text, size_t n, size_t size, size_t count, const char *one,
                        const char *many)
{
    if (count == 0 || n >= size)
        return n;
    return n + (size_t)snprintf(text + n, size - n, ", %zu %s", count, count == 1 ? one : many);
}

static void describe_self(void *ctx, char *ret_text, size_t size)
{
    const struct agent *a = ctx;
    struct engine_status s;
    char trouble[200];
    size_t n, before;

    engine_get_status(a->engine, &s);
    if (a->service == NULL) {
        (void)snprintf(ret_text, size,
                       "%s; it is not known yet which node this is; see: ssmctl status",
                       ssmd_version);
        return;
    }
    n = (size_t)snprintf(ret_text, size, "%s serves %s in %s", ssmd_version, a->config.instance_id,
                         config_signing_region(&a->config));
    before = n;
    n = add_count(ret_text, n, size, s.n_running, "command runs", "commands run");
    n = add_count(ret_text, n, size, s.n_queued, "waits", "wait");
    n = add_count(ret_text, n, size, s.n_reporting, "result is to be reported",
                  "results are to be reported");
    if (n == before && n < size)
        n += (size_t)snprintf(ret_text + n, size - n, ", nothing runs");
    if ((s.is_suspended || s.is_short) && n < size)
        n += (size_t)snprintf(ret_text + n, size - n, "; %.150s", s.journal_text);
    if (!is_in_reach(ctx) && n < size) {
        service_describe_trouble(a->service, trouble, sizeof(trouble));
        (void)snprintf(ret_text + n, size - n, "; the service is out of reach%s%s",
                       trouble[0] != '\0' ? ": " : "", trouble);
    }
}

static int64_t next_effect_id(void *ctx)
{
    struct agent *a = ctx;

    return engine_next_effect_id(a->engine);
}

static int start(struct agent *a, struct err *err)
{
    struct engine_options eo = {.loop = &a->loop,
                                .config = &a->config,
                                .paths = &a->paths,
                                .platform = &a->platform,
                                .boot_id = a->boot_id,
                                .ended = on_jobs_ended,
                                .may_begin = may_begin,
                                .ctx = a};
    struct registrar_options ro = {.loop = &a->loop,
                                   .config = &a->config,
                                   .paths = &a->paths,
                                   .boot_id = a->boot_id,
                                   .next_effect_id = next_effect_id,
                                   .ctx = a};
    struct node_finder_options no = {.loop = &a->loop,
                                     .config = &a->config,
                                     .paths = &a->paths,
                                     .found = on_found,
                                     .changed = on_credentials_changed,
                                     .ctx = a};
    struct ctl_server_options co = {.loop = &a->loop,
                                    .run_dir = a->paths.run_dir,
                                    .add_status = add_status,
                                    .registered = on_registered,
                                    .ctx = a};
    struct probation_options po = {.loop = &a->loop,
                                   .paths = &a->paths,
                                   .boot_id = a->boot_id,
                                   .look = look_at_self,
                                   .ctx = a};
    const struct manager_options mo = {
        .loop = &a->loop, .describe = describe_self, .is_well = is_in_reach, .ctx = a};
    int r;

    if (manager_new(&mo, &a->manager, err) < 0)
        log_warning("the service manager is not told how ssmd is: %s", err->text);
    a->started_unix_ms = clock_wall_ms();
    probation_check_program(&a->paths);
    if ((r = clock_read_boot_id(a->config.boot_id_file, a->boot_id, err)) < 0 ||
        (r = probation_new(&po, &a->probation, err)) < 0 ||
        (r = setup_open_journal(&a->paths, a->boot_id, &a->journal, err)) < 0)
        return r;
    eo.journal = ro.journal = co.journal = a->journal;
    if ((r = engine_new(&eo, &a->engine, err)) < 0)
        return r;
    co.engine = a->engine;
    if ((r = registrar_new(&ro, &a->registrar, err)) < 0)
        return r;
    co.registrar = no.registrar = a->registrar;
    if ((r = node_finder_new(&no, &a->finder, err)) < 0 ||
        (r = clock_watch_new(&a->loop, on_clock_set, a, &a->clock_watch, err)) < 0)
        return r;
    node_finder_start(a->finder); /* may know at once */
    if (a->service_err.code != 0) {
        *err = a->service_err;
        return err->code;
    }
    co.lookup = a->service != NULL ? service_lookup(a->service) : NULL;
    if ((r = ctl_server_new(&co, &a->ctl, err)) < 0 ||
        (r = upkeep_new(&a->loop, a->journal, &a->config, &a->paths, a->boot_id, &a->upkeep, err)) <
            0)
        return r;
    upkeep_tell_room(a->upkeep, on_room, a);
    settings_watch(a->settings, &a->loop);
    a->is_started = true;
    manager_ready(a->manager);
    return 0;
}

static int run(struct agent *a)
{
    struct err err = {0};
    int r;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ,
                 SIG_IGN); /* a limit of file sizes is a full disk: an error, not the end */
    (void)umask(022); /* scripts inherit it, as users know it; our own files name their modes */
    raise_limits();
    r = libraries_start(&a->loop, &err);
    if (r == 0) {
        (void)uv_timer_init(&a->loop, &a->stop_timer); /* cannot fail */
        uv_unref((uv_handle_t *)&a->stop_timer);
        a->stop_timer.data = a;
        r = catch_signals(a, &err);
    }
    if (r == 0)
        r = start(a, &err);
    if (r < 0) {
        log_error("%s", err.text);
        probation_fail(a->probation, err.text);
        return setup_exit_status(&err);
    }
    (void)uv_run(&a->loop, UV_RUN_DEFAULT);
    upkeep_publish(a->upkeep);
    upkeep_free(a->upkeep);
    ctl_server_free(a->ctl);
    service_free(a->service);
    engine_free(a->engine);
    journal_close(a->journal);
    settings_free(a->settings);
    (void)uv_loop_close(&a->loop); /* nothing is left in it but what libraries keep */
    return a->service_err.code != 0 ? setup_exit_status(&a->service_err) : EXIT_OK;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    static struct agent a = {.pid_fd = -1};
    struct err err;
    bool is_done;
    int r;

    if (doctor_is_meant(argc, argv))
        return doctor_main(argc, argv);
    if (register_cli_is_meant(argc, argv))
        return register_cli_main(argc, argv);
    r = parse_options(argc, argv, &o, &is_done);
    if (is_done)
        return r;
    if ((o.log != NULL && log_set_levels(o.log, &err) < 0) ||
        paths_init(&a.paths, o.root, &err) < 0) {
        (void)fprintf(stderr, "ssmd: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (read_config(&a, &o, &err) < 0 ||
        (a.config.instance_id[0] != '\0' && config_check_identity(&a.config, &err) < 0)) {
        log_error("%s", err.text);
        return setup_exit_status(&err);
    }
    if (platform_read("", &a.platform, &err) < 0)
        log_warning("%s", err.text); /* reports leave it out */
    if (o.is_check) {
        size_t n = settings_n_warnings(a.settings);

        (void)printf("configuration: %zu warning%s\n", n, n == 1 ? "" : "s");
        return n == 0 ? EXIT_OK : EXIT_NO;
    }
    if (setup_wait_for_lock(&a.paths, &a.pid_fd, &err) < 0) {
        log_error("%s", err.text);
        return err.code == ERR_BUSY ? EXIT_NO : EXIT_SYSTEM;
    }
    settings_apply_log(a.settings);
    return run(&a);
}
