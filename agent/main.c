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

#include "agent/ctl_server.h"
#include "agent/engine.h"
#include "agent/register_cli.h"
#include "agent/service.h"
#include "agent/settings.h"
#include "agent/setup.h"
#include "agent/upkeep.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

static const char usage[] =
    "usage: ssmd [--root DIR] [--config FILE] [--log LEVELS]\n"
    "       ssmd --check-config [--root DIR] [--config FILE]\n"
    "       ssmd register [option ...]      (see: ssmd register --help)\n"
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
    struct journal *journal;
    struct engine *engine;
    struct service *service;
    struct ctl_server *ctl;
    struct upkeep *upkeep;
    uv_signal_t term, interrupt, hangup;
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
        (void)printf("SSM Agent version: %s.0\n", SSMD_VERSION);
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
            (void)printf("ssmd %s\n", SSMD_VERSION);
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

static void add_status(void *ctx, struct buf *b)
{
    struct agent *a = ctx;

    (void)buf_printf(b,
                     "\"started_unix_ms\":%" PRId64
                     ",\"boot_id\":\"%s\",\"instance_id\":\"%s\",\"region\":\"%s\",",
                     a->started_unix_ms, a->boot_id, a->config.instance_id,
                     config_signing_region(&a->config));
    settings_add_status(a->settings, b);
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

static void on_signal(uv_signal_t *handle, int number)
{
    struct agent *a = handle->data;

    log_info("%s: stopping; running steps go on and are taken up at the next start",
             strsignal(number));
    ctl_server_stop(a->ctl);
    engine_stop(a->engine);
    service_stop(a->service);
    upkeep_stop(a->upkeep);
    uv_close((uv_handle_t *)&a->term, NULL);
    uv_close((uv_handle_t *)&a->interrupt, NULL);
    uv_close((uv_handle_t *)&a->hangup, NULL);
    settings_unwatch(a->settings);
}

static void on_job_ended(void *ctx)
{
    struct agent *a = ctx;

    if (a->upkeep != NULL) /* not there yet while the engine takes up what it finds */
        upkeep_note_end(a->upkeep);
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

static int start(struct agent *a, struct err *err)
{
    struct engine_options eo = {.loop = &a->loop,
                                .config = &a->config,
                                .paths = &a->paths,
                                .platform = &a->platform,
                                .boot_id = a->boot_id,
                                .ended = on_job_ended,
                                .ctx = a};
    struct service_options so = {.loop = &a->loop, .config = &a->config, .platform = &a->platform};
    struct ctl_server_options co = {
        .loop = &a->loop, .run_dir = a->paths.run_dir, .add_status = add_status, .ctx = a};
    int r;

    a->started_unix_ms = clock_wall_ms();
    if ((r = clock_read_boot_id(a->config.boot_id_file, a->boot_id, err)) < 0 ||
        (r = setup_open_journal(&a->paths, a->boot_id, &a->journal, err)) < 0)
        return r;
    eo.journal = co.journal = a->journal;
    if ((r = engine_new(&eo, &a->engine, err)) < 0)
        return r;
    so.engine = co.engine = a->engine;
    if ((r = service_new(&so, &a->service, err)) < 0)
        return r;
    co.lookup = service_lookup(a->service);
    engine_add_link(a->engine, service_link(a->service));
    engine_add_link(a->engine, service_control_link(a->service));
    engine_set_lookup(a->engine, service_lookup(a->service));
    engine_set_parameter_source(a->engine, service_parameters(a->service));
    if ((r = engine_start(a->engine, err)) < 0 || (r = ctl_server_new(&co, &a->ctl, err)) < 0 ||
        (r = upkeep_new(&a->loop, a->journal, &a->config, &a->paths, a->boot_id, &a->upkeep, err)) <
            0)
        return r;
    service_start(a->service);
    settings_watch(a->settings, &a->loop);
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
    r = uv_loop_init(&a->loop);
    if (r < 0)
        (void)err_set(&err, ERR_SYSTEM, "event loop: %s", uv_strerror(r));
    else
        r = catch_signals(a, &err);
    if (r == 0)
        r = start(a, &err);
    if (r < 0) {
        log_error("%s", err.text);
        return setup_exit_status(&err);
    }
    log_info("ssmd %s serves %s in %s, boot %s", SSMD_VERSION, a->config.instance_id,
             config_signing_region(&a->config), a->boot_id);
    (void)uv_run(&a->loop, UV_RUN_DEFAULT);
    upkeep_publish(a->upkeep);
    upkeep_free(a->upkeep);
    ctl_server_free(a->ctl);
    service_free(a->service);
    engine_free(a->engine);
    journal_close(a->journal);
    settings_free(a->settings);
    (void)uv_loop_close(&a->loop); /* nothing is left in it but what libraries keep */
    return EXIT_OK;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    static struct agent a = {.pid_fd = -1};
    struct err err;
    bool is_done;
    int r;

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
    if (read_config(&a, &o, &err) < 0 || config_check_identity(&a.config, &err) < 0) {
        log_error("%s", err.text);
        return EXIT_NO;
    }
    if (platform_read("", &a.platform, &err) < 0)
        log_warning("%s", err.text); /* reports leave it out */
    if (o.is_check) {
        size_t n = settings_n_warnings(a.settings);

        (void)printf("configuration: %zu warning%s\n", n, n == 1 ? "" : "s");
        return n == 0 ? EXIT_OK : EXIT_NO;
    }
    if (setup_take_lock(&a.paths, &a.pid_fd, &err) < 0) {
        log_error("%s", err.text);
        return err.code == ERR_BUSY ? EXIT_NO : EXIT_SYSTEM;
    }
    settings_apply_log(a.settings);
    return run(&a);
}
