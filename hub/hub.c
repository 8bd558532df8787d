/* ssmhub: the program. Opens what it needs, says where it is, serves until it is told to stop. */
#define LOG_MODULE "hub"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "hub/document.h"
#include "hub/listen.h"
#include "hub/options.h"
#include "hub/server.h"
#include "hub/tls.h"
#include "hub/updates.h"

#define EXIT_USAGE 100
#define EXIT_SYSTEM 111
#define STORE_FILE "hub.db"
#define CREDENTIALS_FILE "credentials"
#define KEY_FILE "parameters.key"

static int open_credentials(const struct options *o, int dir_fd, struct access_keys *ret,
                            struct err *err)
{
    if (o->is_credentials_env)
        return access_keys_from_environment(ret, err);
    if (o->credentials != NULL)
        return access_keys_read(AT_FDCWD, o->credentials, ret, err);
    return access_keys_read_or_make(dir_fd, CREDENTIALS_FILE, ret, err);
}

static int open_store(const struct options *o, int64_t now_ms, struct store **ret_store,
                      struct err *err)
{
    AUTO(store_close) struct store *store = NULL;
    char path[PATH_MAX];
    int i, r;

    if (snprintf(path, sizeof(path), "%s/%s", o->dir, STORE_FILE) >= (int)sizeof(path))
        return err_set(err, ERR_USAGE, "--dir %.100s...: too long", o->dir);
    r = store_open(path, &store, err);
    if (r == 0)
        r = document_add_built_in(store, now_ms, err);
    if (r == 0 && o->n_instances > 0)
        r = store_begin(store, err);
    for (i = 0; r == 0 && i < o->n_instances; i++)
        r = store_instance_put(store, o->instances[i], NULL, now_ms, 0, err);
    if (r == 0 && o->n_instances > 0)
        r = store_commit(store, err);
    if (r < 0)
        return r;
    *ret_store = TAKE(store);
    return 0;
}

static int write_port_file(const char *path, int port, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    char copy[PATH_MAX], base[PATH_MAX], text[16];
    int r;

    if (!str_copy(copy, sizeof(copy), path) || !str_copy(base, sizeof(base), path))
        return err_set(err, ERR_USAGE, "--port-file %.100s...: too long", path);
    r = fs_open_dir(AT_FDCWD, dirname(copy), &fd, err);
    if (r < 0)
        return err_wrap(err, "--port-file %s", path);
    (void)snprintf(text, sizeof(text), "%d\n", port);
    r = fs_write_atomic(fd, basename(base), text, strlen(text), 0644, false, err);
    return r < 0 ? err_wrap(err, "--port-file %s", path) : 0;
}

/* One hub to a directory: two would hand out the same messages. The lock ends with the process. */
static int lock_dir(const struct options *o, int dir_fd, struct err *err)
{
    if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(err, ERR_BUSY, "--dir %s: another ssmhub uses it", o->dir);
    return err_sys(err, ERR_IO, errno, "lock %s", o->dir);
}

static int block_signals(int *ret_fd, struct err *err)
{
    sigset_t set;
    int fd;

    (void)sigemptyset(&set); /* these three fail only for signals that do not exist */
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_sys(err, ERR_SYSTEM, errno, "block signals");
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "signalfd");
    *ret_fd = fd;
    return 0;
}

/* The line that tells people and scripts that it is ready. */
static int say_ready(const struct options *o, const struct listener *listener, const char *url,
                     struct err *err)
{
    if (printf("ssmhub: %s\n", url) < 0 || fflush(stdout) != 0)
        return err_sys(err, ERR_IO, errno, "write to standard output");
    if (o->is_tls)
        log_info("clients need %s/%s as their CA file (aws: AWS_CA_BUNDLE)", o->dir, TLS_CERT_FILE);
    if (!listener->is_loopback && !o->is_tls)
        log_warning("%s can be reached from other machines, without TLS; use --tls", url);
    if (o->has_faults)
        log_warning("--faults: test calls on /_state, /_inject and /_faults are taken unsigned");
    return o->port_file != NULL ? write_port_file(o->port_file, listener->port, err) : 0;
}

static int serve(const struct options *o, struct hub *hub, struct access_keys *credentials,
                 int dir_fd, struct err *err)
{
    AUTO(buf_done) struct buf cert = {0}, key = {0};
    AUTO(close_fd) int signal_fd = -1;
    AUTO(server_free) struct server *server = NULL;
    AUTO(close_fd) int updates_fd = -1;
    struct server_config config = {.hub = hub, .credentials = credentials};
    AUTO(listener_done) struct listener listener = {.fd = -1};
    char url[80];
    int r;

    buf_init(&cert, TLS_MAX_PEM_BYTES);
    buf_init(&key, TLS_MAX_PEM_BYTES);
    if (o->port_file != NULL && unlink(o->port_file) < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "--port-file %s: remove the old one", o->port_file);
    if (o->is_tls) {
        r = tls_read_or_make(dir_fd, clock_wall_ms(), &cert, &key, err);
        if (r < 0)
            return r;
        config.cert_pem = buf_str(&cert);
        config.key_pem = buf_str(&key);
    }
    r = o->updates != NULL ? updates_open(o->updates, &updates_fd, err) : 0;
    config.updates_fd = updates_fd;
    if (r == 0)
        r = block_signals(&signal_fd, err);
    if (r == 0)
        r = listen_open(o->listen, &listener, err);
    if (r < 0)
        return r;
    if (o->has_faults && !listener.is_loopback)
        return err_set(err, ERR_USAGE,
                       "--faults takes unsigned calls, so it needs a loopback address, not %s",
                       o->listen);
    (void)snprintf(url, sizeof(url), "http%s://%s", o->is_tls ? "s" : "", listener.authority);
    hub->url = url;
    config.listen_fd = listener.fd;
    r = server_new(&config, &server, err);
    if (r < 0)
        return r;
    listener.fd = -1; /* the server's now */
    r = say_ready(o, &listener, url, err);
    if (r < 0)
        return r;
    r = server_run(server, signal_fd, err);
    log_info("%s: stopped", url);
    return r;
}

static int run(const struct options *o, struct err *err)
{
    AUTO(access_keys_done) struct access_keys credentials = {0};
    AUTO(store_close) struct store *store = NULL;
    AUTO(bucket_store_close) struct bucket_store *buckets = NULL;
    AUTO(close_fd) int dir_fd = -1;
    struct hub hub = {.region = o->region,
                      .poll_ms = o->poll_ms,
                      .role_token_ms = o->role_token_ms,
                      .date_offset_ms = o->date_offset_ms,
                      .denies_control = o->denies_control,
                      .has_faults = o->has_faults};
    int r = log_set_levels(o->log, err);

    if (r == 0)
        r = fs_make_path(o->dir, &dir_fd, err);
    if (r == 0)
        r = lock_dir(o, dir_fd, err);
    if (r == 0)
        r = open_credentials(o, dir_fd, &credentials, err);
    if (r == 0)
        r = sealing_key_read_or_make(dir_fd, KEY_FILE, &hub.sealing_key, err);
    if (r == 0)
        r = open_store(o, clock_wall_ms() + o->date_offset_ms, &store, err);
    if (r == 0)
        r = bucket_store_open(dir_fd, "s3", &buckets, err);
    if (r < 0)
        return r;
    hub.store = store;
    hub.buckets = buckets;
    r = serve(o, &hub, &credentials, dir_fd, err);
    sealing_key_done(&hub.sealing_key);
    return r;
}

int main(int argc, char **argv)
{
    struct options options;
    struct err err;
    int r = options_parse(argc, argv, &options, &err);

    if (r == 0 && (options.is_help || options.is_version)) {
        int n = options.is_help ? fputs(options_help, stdout) : printf("ssmhub %s\n", ssmd_version);

        return n < 0 || fflush(stdout) != 0 ? EXIT_SYSTEM : 0;
    }
    if (r == 0)
        r = run(&options, &err);
    if (r == 0)
        return 0;
    (void)fprintf(stderr, "ssmhub: %s\n", err.text); /* nowhere left to complain */
    return r == ERR_USAGE || r == ERR_INVALID ? EXIT_USAGE : EXIT_SYSTEM;
}
