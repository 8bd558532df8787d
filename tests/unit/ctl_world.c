/* Roots, command lines and a false ssmd for the tests of ssmctl. */
#include "ctl_world.h"

#include <check.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "ctl/ctl.h"

#define MAX_WORDS 32

static int64_t stand_still(void *ctx)
{
    (void)ctx;
    return WORLD_NOW_MS;
}

void world_init(struct world *w, bool is_deep)
{
    static const struct clock_source source = {.wall_ms = stand_still};
    char root[PATH_MAX / 2];
    struct err err = {0};
    int fd;

    *w = (struct world){.top = "/tmp/ssmctl-test-XXXXXX"};
    ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
    tzset();
    clock_set_source(&source);
    ck_assert_ptr_nonnull(mkdtemp(w->top));
    (void)snprintf(root, sizeof(root), "%s/%s", w->top,
                   is_deep ? "a-directory-with-a-name-that-is-rather-long/"
                             "and-another-one-below-it-that-is-longer-still/root"
                           : "root");
    ck_assert_int_eq(paths_init(&w->paths, root, &err), 0);
    ck_assert_msg(fs_make_path(w->paths.state_dir, &fd, &err) == 0, "%s", err.text);
    (void)close(fd);
}

void world_done(struct world *w)
{
    struct err err = {0};

    free(w->out);
    free(w->err);
    clock_set_source(NULL);
    ck_assert_msg(fs_remove_tree(AT_FDCWD, w->top, &err) == 0, "%s", err.text);
}

int world_run(struct world *w, ...)
{
    char *argv[MAX_WORDS] = {(char *)(uintptr_t) "ssmctl", (char *)(uintptr_t) "--root",
                             w->paths.root};
    size_t n_out, n_err;
    FILE *out, *err;
    int argc = 3;
    va_list ap;

    va_start(ap, w);
    while ((argv[argc] = va_arg(ap, char *)) != NULL)
        ck_assert_int_lt(++argc, MAX_WORDS);
    va_end(ap);
    free(w->out);
    free(w->err);
    out = open_memstream(&w->out, &n_out);
    err = open_memstream(&w->err, &n_err);
    ck_assert(out != NULL && err != NULL);
    w->status = ctl_main(argc, argv, out, err);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_int_eq(fclose(err), 0);
    return w->status;
}

char *world_neutral(const struct world *w, const char *text)
{
    size_t n = strlen(w->paths.root);
    const char *at;
    struct buf b;
    char *result;

    buf_init(&b, 1u << 20);
    for (; (at = strstr(text, w->paths.root)) != NULL; text = at + n) {
        (void)buf_add(&b, text, (size_t)(at - text)); /* buf_error() is looked at below */
        (void)buf_add_str(&b, "ROOT");
    }
    (void)buf_add_str(&b, text);
    ck_assert_int_eq(b.failed, 0);
    result = buf_take(&b);
    buf_done(&b);
    return result;
}

/* One connection: a line in, an answer out. No assertion here: libcheck's belong to the main
 * thread. */
static void serve_one(struct fake_ssmd *f, int fd)
{
    const char *answer = f->answers[f->n_questions];
    struct buf line;
    char chunk[65536];
    ssize_t n = 0;

    buf_init(&line, 8u << 20);
    while ((line.len == 0 || line.data[line.len - 1] != '\n') &&
           (n = read(fd, chunk, sizeof(chunk))) > 0)
        (void)buf_add(&line, chunk, (size_t)n); /* too long a line shows as a wrong question */
    if (line.len > 0 && line.data[line.len - 1] == '\n')
        line.data[line.len - 1] = '\0';
    f->questions[f->n_questions++] = buf_take(&line);
    buf_done(&line);
    if (answer != NULL &&
        (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0))
        perror("answer of the false ssmd");
}

static void *serve(void *ctx)
{
    struct fake_ssmd *f = ctx;

    while (f->n_questions < f->n_answers) {
        int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            break;
        serve_one(f, fd);
        (void)close(fd);
    }
    (void)close(f->listener);
    return NULL;
}

void fake_start(struct fake_ssmd *f, const struct world *w, const char *const *answers)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err = {0};
    int dir;

    *f = (struct fake_ssmd){.n_answers = 0};
    while (answers[f->n_answers] == NULL || answers[f->n_answers][0] != '\0') {
        ck_assert_uint_lt(f->n_answers, FAKE_MAX_ANSWERS);
        f->answers[f->n_answers] = answers[f->n_answers];
        f->n_answers++;
    }
    ck_assert_msg(fs_make_path(w->paths.run_dir, &dir, &err) == 0, "%s", err.text);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/ctl.sock", dir);
    (void)unlinkat(dir, "ctl.sock", 0); /* of an earlier one in the same test */
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(f->listener, 0);
    ck_assert_int_eq(bind(f->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(f->listener, 4), 0);
    (void)close(dir);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, serve, f), 0);
}

void fake_join(struct fake_ssmd *f)
{
    ck_assert_int_eq(pthread_join(f->thread, NULL), 0);
}

void fake_done(struct fake_ssmd *f)
{
    size_t i;

    for (i = 0; i < f->n_questions; i++)
        free(f->questions[i]);
}
