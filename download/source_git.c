/* sourceType Git (spec 04, section 8.7), with the real git.
 *
 * git and what it starts never get a secret as a word or a variable. User and password lie in a
 * memory file that it inherits as descriptor 3; git asks for them through GIT_ASKPASS, which is
 * this very program (askpass.c). A private key is a memory file of this process, which ssh opens by
 * its name below /proc. Neither is ever on a disk.
 *
 * git opens by name, again and again, what it works on. So it works in the step's own directory,
 * where nobody else can put a link in the place of a name; what it made is moved to its destination
 * through descriptors.
 *
 * git runs without the machine's and the user's configuration, without hooks and templates, and
 * cannot ask anybody anything. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"
#include "download/askpass.h"
#include "download/download.h"
#include "download/tree.h"
#include "transport/ca.h"

#define MAX_ENV 64
#define MAX_TEXT_BYTES 16384u

struct git {
    struct download *d;
    int secret_fd;      /* user and password; -1: none */
    int key_fd;         /* the private key; -1: none */
    char *env[MAX_ENV]; /* owned */
    size_t n_env;
    struct buf url;          /* without user and password */
    char dir[PATH_MAX + 64]; /* where it is cloned to */
};

/* ---- secrets ---- */

static int memory_file(const char *name, const void *bytes, size_t n, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = memfd_create(name, MFD_CLOEXEC);
    int r;

    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "memory file");
    r = fchmod(fd, 0600) < 0 ? err_sys(err, ERR_SYSTEM, errno, "memory file")
                             : fs_write_all(fd, bytes, n, err);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

/* "user" NUL "password" NUL */
static int keep_password(struct git *g, const char *username, const char *password, struct err *err)
{
    struct buf pair = {0};
    int r;

    buf_init(&pair, (size_t)2 * DOWNLOAD_MAX_TEXT_BYTES);
    (void)buf_add(&pair, username, strlen(username) + 1);
    (void)buf_add(&pair, password, strlen(password) + 1);
    r = buf_error(&pair, "user and password", err);
    if (r == 0)
        r = memory_file("ssmd-askpass", pair.data, pair.len, &g->secret_fd, err);
    if (pair.data != NULL)
        explicit_bzero(pair.data, pair.len);
    buf_done(&pair);
    return r;
}

/* A document keeps a key on lines, or with its line ends lost to blanks; ssh wants lines, and one
 * at the end. */
static int keep_key(struct git *g, const char *key, struct err *err)
{
    struct buf text = {0};
    const char *p;
    bool has_lines = strchr(key, '\n') != NULL;
    const char *body = strstr(key, "-----\0"), *end;
    int r;

    buf_init(&text, DOWNLOAD_MAX_TEXT_BYTES + 1024);
    end = strstr(key, "-----END ");
    if (!has_lines && body != NULL && end != NULL && (body = strstr(key + 5, "-----")) != NULL &&
        body < end) {
        body += 5;
        (void)buf_add(&text, key, (size_t)(body - key));
        for (p = body; p < end; p++)
            (void)buf_add_char(&text, *p == ' ' ? '\n' : *p);
        (void)buf_add_str(&text, end);
    } else {
        (void)buf_add_str(&text, key);
    }
    (void)buf_add_char(&text, '\n');
    r = buf_error(&text, "privateSSHKey", err);
    if (r == 0)
        r = memory_file("ssmd-key", text.data, text.len, &g->key_fd, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    buf_done(&text);
    return r;
}

/* Percent signs of a URL's user part. */
static void unescape(char *s)
{
    char *out = s;

    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]) &&
            str_unhex((char[]){s[1], s[2], '\0'}, &c, 1))
            s += 2;
        *out++ = (char)c;
    }
    *out = '\0';
}

/* A user and password that stand in the URL itself become no word of git's either. */
static int split_url(struct git *g, struct err *err)
{
    const char *url = g->d->in.location, *host = strstr(url, "://"), *at;
    AUTO(free) char *user = NULL;
    char *colon;
    int r = 0;

    host = host != NULL ? host + 3 : url;
    at = download_is_http_url(url) ? memchr(host, '@', strcspn(host, "/?#")) : NULL;
    if (at == NULL) {
        (void)buf_add_str(&g->url, url);
        return buf_error(&g->url, "repository", err);
    }
    (void)buf_add(&g->url, url, (size_t)(host - url));
    (void)buf_add_str(&g->url, at + 1);
    r = buf_error(&g->url, "repository", err);
    user = r == 0 ? strndup(host, (size_t)(at - host)) : NULL;
    if (r == 0 && user == NULL)
        r = err_set(err, ERR_NOMEM, "repository: out of memory");
    if (user == NULL || g->d->in.username[0] != '\0')
        return r;
    colon = strchr(user, ':');
    if (colon != NULL)
        *colon = '\0';
    unescape(user);
    if (colon != NULL)
        unescape(colon + 1);
    r = keep_password(g, user, colon != NULL ? colon + 1 : "", err);
    explicit_bzero(user, (size_t)(at - host));
    return r;
}

static int take_secrets(struct git *g, struct err *err)
{
    AUTO(secret_done) struct secret username = {0};
    AUTO(secret_done) struct secret password = {0};
    AUTO(secret_done) struct secret key = {0};
    const struct download_inputs *in = &g->d->in;
    int r = split_url(g, err);

    if (r == 0 && in->username[0] != '\0' &&
        (r = ask_value(g->d, in->username, &username, err)) == 0 &&
        (r = ask_value(g->d, in->password, &password, err)) == 0)
        r = keep_password(g, secret_reveal(&username), secret_reveal(&password), err);
    if (r == 0 && in->private_key[0] != '\0' &&
        (r = ask_value(g->d, in->private_key, &key, err)) == 0)
        r = keep_key(g, secret_reveal(&key), err);
    return r;
}

/* ---- environment ---- */

static int put(struct git *g, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int put(struct git *g, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (g->n_env + 1 >= MAX_ENV)
        return ERR_LIMIT;
    va_start(ap, fmt);
    n = vasprintf(&g->env[g->n_env], fmt, ap);
    va_end(ap);
    if (n < 0) {
        g->env[g->n_env] = NULL;
        return ERR_NOMEM;
    }
    g->n_env++;
    return 0;
}

/* "ssh://host" and "host:path" name no user; then it is git. */
static bool names_user(const char *url)
{
    const char *host = strstr(url, "://");

    host = host != NULL ? host + 3 : url;
    return memchr(host, '@', strcspn(host, "/:")) != NULL ||
           (strstr(url, "://") != NULL && memchr(host, '@', strcspn(host, "/")) != NULL);
}

static int put_ssh(struct git *g)
{
    const struct download_inputs *in = &g->d->in;
    char key[128] = "";

    if (g->key_fd >= 0)
        (void)snprintf(key, sizeof(key), " -o IdentitiesOnly=yes -i /proc/%ld/fd/%d",
                       (long)getpid(), g->key_fd);
    return put(g, "GIT_SSH_COMMAND=ssh -o BatchMode=yes -o StrictHostKeyChecking=%s%s%s%s",
               in->skips_host_key ? "no" : "yes",
               in->skips_host_key ? " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR" : "",
               names_user(in->location) ? "" : " -o User=git", key);
}

/* git knows neither AWS_CA_BUNDLE nor SSL_CERT_FILE: it is told what they name. */
static int put_authorities(struct git *g)
{
    const char *configured = g->d->request.ca_file;
    struct ca_location ca;
    int r = 0;

    ca_find_named(NULL, configured[0] != '\0' ? configured : NULL, NULL, &ca);
    if (ca.file[0] != '\0')
        r = put(g, "GIT_SSL_CAINFO=%s", ca.file);
    return r == 0 && ca.dir[0] != '\0' ? put(g, "GIT_SSL_CAPATH=%s", ca.dir) : r;
}

static int make_environment(struct git *g, const char *self, struct err *err)
{
    static const char *const kept[] = {"PATH",       "HOME",       "LANG",        "TMPDIR",
                                       "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                       "no_proxy",   "NO_PROXY"};
    size_t i;
    int r = 0;

    for (i = 0; i < ARRAY_LEN(kept) && r == 0; i++)
        if (getenv(kept[i]) != NULL)
            r = put(g, "%s=%s", kept[i], getenv(kept[i]));
    if (r == 0 && getenv("HOME") == NULL)
        r = put(g, "HOME=%s", geteuid() == 0 ? "/root" : "/");
    if (r == 0)
        r = put(g, "LC_ALL=C");
    if (r == 0)
        r = put(g, "GIT_TERMINAL_PROMPT=0");
    if (r == 0)
        r = put(g, "GIT_CONFIG_NOSYSTEM=1");
    if (r == 0)
        r = put(g, "GIT_CONFIG_GLOBAL=/dev/null");
    if (r == 0)
        r = put(g, "GIT_ALLOW_PROTOCOL=http:https:ssh:git:file");
    if (r == 0)
        r = put(g, "GIT_SSH_VARIANT=ssh");
    if (r == 0)
        r = put_ssh(g);
    if (r == 0)
        r = put_authorities(g);
    /* Without a password too: nobody is there to be asked. */
    if (r == 0)
        r = put(g, "GIT_ASKPASS=%s", self);
    if (r == 0)
        r = put(g, ASKPASS_VARIABLE "=%s", g->secret_fd >= 0 ? "3" : "none");
    return r < 0 ? err_set(err, r, "environment of git: %s",
                           r == ERR_LIMIT ? "too large" : "out of memory")
                 : 0;
}

/* ---- running it ---- */

struct process {
    uv_process_t handle;
    uv_pipe_t pipe;
    struct buf text; /* what it says on stderr: its beginning */
    bool has_exited, has_ended, is_over;
    int64_t status;
    int signal;
    int n_open;
};

static void on_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;

    p->is_over = --p->n_open == 0;
}

static void on_exit_(uv_process_t *handle, int64_t status, int signal)
{
    struct process *p = handle->data;

    p->status = status;
    p->signal = signal;
    uv_close((uv_handle_t *)handle, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    static char chunk[4096]; /* read and consumed before the next one */

    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(chunk, sizeof(chunk));
}

static void on_text(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct process *p = stream->data;

    if (n < 0)
        uv_close((uv_handle_t *)stream, on_closed);
    else if (n > 0 && p->text.len + (size_t)n <= MAX_TEXT_BYTES)
        (void)buf_add(&p->text, bytes->base, (size_t)n); /* what is over is not told */
}

static void trim(struct buf *text)
{
    while (text->len > 0 && isspace((unsigned char)text->data[text->len - 1]))
        text->data[--text->len] = '\0';
}

/* The reasons that a document's author can do something about. */
static int explain(const struct git *g, const struct process *p, struct err *err)
{
    const char *text = buf_str(&p->text);

    if (strstr(text, "Host key verification failed") != NULL)
        return err_set(err, ERR_AUTH,
                       "git: the host's key is not known. Add it to the known_hosts file of the "
                       "user that ssmd runs as, or set skipHostKeyChecking to true: %.300s",
                       text);
    (void)g;
    return err_set(err, ERR_REFUSED, "git: %.400s",
                   text[0] != '\0' ? text : "it failed and does not say why");
}

static int spawn(struct git *g, struct process *p, const char *const *argv, struct err *err)
{
    uv_stdio_container_t stdio[4] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->pipe},
        {.flags = g->secret_fd >= 0 ? UV_INHERIT_FD : UV_IGNORE, .data.fd = g->secret_fd},
    };
    const uv_process_options_t options = {.exit_cb = on_exit_,
                                          .file = "git",
                                          .args = (char **)(uintptr_t)argv,
                                          .env = g->env,
                                          .cwd = "/",
                                          .stdio_count = g->secret_fd >= 0 ? 4 : 3,
                                          .stdio = stdio};
    int r;

    (void)uv_pipe_init(g->d->loop, &p->pipe, 0); /* cannot fail for a pipe without IPC */
    p->pipe.data = p->handle.data = p;
    p->n_open = 2;
    r = uv_spawn(g->d->loop, &p->handle, &options);
    if (r == 0)
        r = uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_text);
    if (r < 0) {
        uv_close((uv_handle_t *)&p->handle, on_closed);
        uv_close((uv_handle_t *)&p->pipe, on_closed);
        return r == UV_ENOENT
                   ? err_set(err, ERR_NOT_FOUND,
                             "git is not installed, or not in ssmd's PATH: install it")
                   : err_set(err, ERR_SYSTEM, "git cannot be started: %s", uv_strerror(r));
    }
    return 0;
}

/* `words` ends with NULL; what every call has stands before them. */
static int run(struct git *g, const char *const *words, struct err *err)
{
    const char *argv[32] = {"git",
                            "-c",
                            "core.hooksPath=/dev/null",
                            "-c",
                            "credential.helper=",
                            "-c",
                            "core.fsmonitor=false",
                            "-c",
                            "gc.auto=0"};
    struct process p = {.n_open = 0};
    size_t n = 9, i;
    int r, stopped = 0;

    for (i = 0; words[i] != NULL && n + 1 < ARRAY_LEN(argv); i++)
        argv[n++] = words[i];
    buf_init(&p.text, MAX_TEXT_BYTES);
    r = spawn(g, &p, argv, err);
    if (r == 0) {
        stopped = fetch_wait(g->d, &p.is_over, err);
        if (stopped < 0 && !uv_is_closing((uv_handle_t *)&p.handle)) /* not to be left behind */
            (void)uv_process_kill(&p.handle, SIGTERM);
    }
    while (!p.is_over)
        (void)uv_run(g->d->loop, UV_RUN_ONCE);
    trim(&p.text);
    if (r == 0)
        r = stopped;
    if (r == 0 && (p.status != 0 || p.signal != 0))
        r = explain(g, &p, err);
    buf_done(&p.text);
    return r;
}

#define RUN(g, err, ...) run(g, (const char *const[]){__VA_ARGS__, NULL}, err)

static int clone_it(struct git *g, struct err *err)
{
    const struct download_inputs *in = &g->d->in;
    const char *ref = in->commit[0] != '\0' ? in->commit : in->branch;
    int r = RUN(g, err, "clone", "--quiet", "--template=", "--no-recurse-submodules", "--",
                buf_str(&g->url), g->dir);

    if (r == 0 && ref[0] != '\0')
        r = RUN(g, err, "-C", g->dir, "-c", "advice.detachedHead=false", "checkout", "--quiet", ref,
                "--");
    return r;
}

/* ---- all of it ---- */

static int fetch_into(struct git *g, int workfd, const char *name, int destfd, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r = clone_it(g, err), copy;

    if (r == 0)
        r = fs_open_dir(workfd, name, &fd, err);
    copy =
        r == 0 ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1; /* a place of its own */
    if (r == 0)
        r = copy < 0 ? err_sys(err, ERR_IO, errno, "list %s", g->dir) : tree_set_modes(copy, err);
    return r == 0 ? tree_move(fd, destfd, g->d->dest, err) : r;
}

int source_git(struct download *d, struct err *err)
{
    struct git g = {.d = d, .secret_fd = -1, .key_fd = -1};
    AUTO(close_fd) int destfd = -1, workfd = -1;
    char self[PATH_MAX], name[64], uuid[UUID_SIZE], shown[300];
    struct err ignored;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    size_t i;
    int r;

    self[n > 0 ? n : 0] = '\0';
    ids_uuid4(uuid);
    (void)snprintf(name, sizeof(name), "tempCloneDir%s", uuid);       /* fits */
    (void)snprintf(g.dir, sizeof(g.dir), "%s/%s", d->work_dir, name); /* fits */
    buf_init(&g.url, DOWNLOAD_MAX_TEXT_BYTES);
    r = dest_open_dir(d->dest, &destfd, err);
    if (r == 0)
        r = fs_open_dir(AT_FDCWD, d->work_dir, &workfd, err);
    if (r == 0)
        r = take_secrets(&g, err);
    if (r == 0)
        r = make_environment(&g, self, err);
    if (r == 0)
        r = fetch_into(&g, workfd, name, destfd, err);
    if (workfd >= 0 && fs_remove_tree(workfd, name, &ignored) < 0 && r == 0) {
        *err = ignored;
        r = err->code;
    }
    for (i = 0; i < g.n_env; i++)
        free(g.env[i]);
    buf_done(&g.url);
    if (g.secret_fd >= 0)
        (void)close(g.secret_fd);
    if (g.key_fd >= 0)
        (void)close(g.key_fd);
    fetch_describe(d->in.location, shown, sizeof(shown));
    return r < 0 ? err_wrap(err, "clone %s", shown) : 0;
}
