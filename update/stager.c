/* ssmd-stager: reads one request, does one phase of an update, writes one answer. It is the one
 * program that reads what strangers send as an update; it ends with whoever started it, and changes
 * nothing that runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"
#include "update/stager_internal.h"

#define EXIT_OK 0
#define EXIT_NO 1
#define EXIT_USAGE 100
#define LOCK_WAIT_US (5 * 1000000ll) /* for another that is being ended */
#define LOCK_LOOK_US 20000

void stager_say(const char *fmt, ...)
{
    char line[1200], *p;
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args); /* cut is fine */
    va_end(args);
    for (p = line; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    (void)fprintf(stderr, "%s\n", line);
}

/* ---- its directories ---- */

/* One at a time. Another one can be there for the moment in which its parent has just died. */
static int lock(int work_fd, const char *update_dir, struct err *err)
{
    const int64_t end_us = clock_monotonic_us() + LOCK_WAIT_US;

    while (flock(work_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_sys(err, ERR_IO, errno, "lock %s/" STAGER_WORK, update_dir);
        if (clock_monotonic_us() > end_us)
            return err_set(err, ERR_BUSY, "another ssmd-stager works in %s", update_dir);
        (void)usleep(LOCK_LOOK_US);
    }
    return 0;
}

static int open_dirs(struct stager *s, struct err *err)
{
    AUTO(close_fd) int update_fd = -1;
    int r;

    s->code = "ErrorCreateUpdateFolder";
    if (s->q->phase == STAGER_CHECK) { /* what is trusted counts; nothing is kept */
        r = fs_open_dir(AT_FDCWD, s->q->update_dir, &update_fd, err);
        if (r == 0)
            r = fs_open_dir(update_fd, STAGER_TRUST, &s->trust_fd, err);
        return r == ERR_NOT_FOUND ? 0 : r;
    }
    r = fs_make_path(s->q->update_dir, &update_fd, err);
    if (r == 0)
        r = fs_make_dir(update_fd, STAGER_WORK, &s->work_fd, err);
    if (r == 0)
        r = fs_make_dir(update_fd, STAGER_TRUST, &s->trust_fd, err);
    /* What is synced in them lasts only if their names do. */
    if (r == 0 && fsync(update_fd) < 0)
        r = err_sys(err, ERR_IO, errno, "sync directory");
    if (r < 0)
        return err_wrap(err, "%s", s->q->update_dir);
    return lock(s->work_fd, s->q->update_dir, err);
}

/* ---- the phases ---- */

static int check(struct stager *s, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct choice choice;
    int r = stager_metadata_fetch(s, &t, err);

    if (r == 0)
        stager_choose(s, t, &choice);
    return r;
}

static int fetch(struct stager *s, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct choice choice;
    int r = stager_metadata_fetch(s, &t, err);

    if (r < 0)
        return r;
    stager_choose(s, t, &choice);
    if (choice.verdict == CHOOSE_OK && s->q->without_package) {
        s->code = "ErrorCreateUpdateFolder";
        return trust_store(t, s->trust_fd, err); /* no verify follows that would remember it */
    }
    if (choice.verdict == CHOOSE_OK)
        return stager_package_fetch(s, &choice, err);
    (void)unlinkat(s->work_fd, STAGER_PACKAGE, 0); /* of an earlier one; best effort, as all here */
    /* The update ends here, and ends so whatever the disk says; but what was believed is to be
     * remembered all the same. */
    if (trust_store(t, s->trust_fd, err) < 0)
        stager_say("%s", err->text);
    return 0;
}

static int verify(struct stager *s, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    AUTO(close_fd) int fd = -1;
    struct choice choice;
    int r;

    if ((r = stager_metadata_load(s, &t, err)) < 0 ||
        (r = stager_choose_again(s, t, &choice, err)) < 0)
        return r;
    s->code = "ErrorTargetPkgDownload";
    r = stager_package_open(s, s->q->length_bytes, s->q->sha256, &fd, err);
    if (r < 0)
        return r;
    s->code = "ErrorCreateUpdateFolder";
    return trust_store(t, s->trust_fd, err);
}

/* ---- one request ---- */

static void on_limit(uv_timer_t *timer)
{
    struct stager *s = timer->data;

    s->is_late = true;
    uv_stop(&s->loop); /* who waits looks first */
}

static bool may_pass(int code)
{
    return code == ERR_NETWORK || code == ERR_TIMEOUT || code == ERR_THROTTLED ||
           code == ERR_SERVER || code == ERR_PROTOCOL || code == ERR_NOMEM || code == ERR_BUSY ||
           code == ERR_SYSTEM;
}

static void fail(struct stager *s, int code, const struct err *err)
{
    struct stager_answer *a = s->answer;

    a->verdict = STAGER_FAIL;
    a->is_retry_worthwhile = may_pass(code);
    (void)str_copy(a->code, sizeof(a->code), s->code);   /* all codes are shorter */
    (void)str_copy(a->text, sizeof(a->text), err->text); /* cut is fine */
}

static int start(struct stager *s, struct err *err)
{
    int r = uv_loop_init(&s->loop);

    if (r < 0)
        return err_set(err, ERR_SYSTEM, "event loop: %s", uv_strerror(r));
    (void)uv_timer_init(&s->loop, &s->limit); /* neither can fail, nor starting one */
    (void)uv_timer_init(&s->loop, &s->pause);
    s->limit.data = s;
    (void)uv_timer_start(&s->limit, on_limit,
                         (uint64_t)(s->q->limit_ms > 0 ? s->q->limit_ms : STAGER_LIMIT_MS), 0);
    return 0;
}

static void end(struct stager *s)
{
    http_close(s->http);
    uv_close((uv_handle_t *)&s->limit, NULL);
    uv_close((uv_handle_t *)&s->pause, NULL);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT); /* what closes, closes */
    (void)uv_loop_close(&s->loop);
    close_fd_cleanup(&s->work_fd);
    close_fd_cleanup(&s->trust_fd);
}

static void work(const struct stager_request *q, struct stager_answer *ret_answer)
{
    static int (*const phases[STAGER_N_PHASES])(struct stager * s, struct err * err) = {
        [STAGER_CHECK] = check,
        [STAGER_FETCH] = fetch,
        [STAGER_VERIFY] = verify,
        [STAGER_STAGE] = stager_stage,
    };
    struct stager s = {
        .q = q, .answer = ret_answer, .code = "ErrorUnexpected", .work_fd = -1, .trust_fd = -1};
    struct err err = {0};
    int r = start(&s, &err);

    if (r < 0) {
        fail(&s, r, &err);
        return;
    }
    r = open_dirs(&s, &err);
    if (r == 0) {
        stager_confine_writes(q);
        s.code = "ErrorUnexpected";
        r = phases[q->phase](&s, &err);
    }
    if (r < 0)
        fail(&s, r, &err);
    end(&s);
}

static int answer(const struct stager_answer *a)
{
    AUTO(buf_done) struct buf text = {0};
    struct err err = {0};
    int r;

    buf_init(&text, STAGER_MAX_ANSWER_BYTES);
    stager_answer_write(a, &text);
    r = buf_error(&text, "the answer", &err);
    if (r == 0)
        r = fs_write_all(STDOUT_FILENO, text.data, text.len, &err);
    if (r < 0)
        stager_say("%s", err.text);
    return r < 0 ? EXIT_NO : EXIT_OK;
}

static int serve(void)
{
    AUTO(buf_done) struct buf text = {0};
    struct stager_request request;
    struct stager_answer a = {.verdict = STAGER_OK};
    struct err err = {0};
    int r = stager_confine(&err);

    buf_init(&text, STAGER_MAX_REQUEST_BYTES);
    if (r == 0)
        r = fs_read_fd(STDIN_FILENO, "the request", &text, &err);
    if (r == 0)
        r = stager_request_parse(buf_str(&text), text.len, &request, &err);
    if (r < 0) {
        stager_say("the request: %s; ssmd makes it, see ssmd-stager(8)", err.text);
        return EXIT_NO;
    }
    work(&request, &a);
    return answer(&a);
}

int main(int argc, char **argv)
{
    if (argc == 2 && str_eq(argv[1], "--version")) {
        (void)printf("ssmd-stager %s\n", ssmd_version);
        return EXIT_OK;
    }
    if (argc != 1) {
        (void)fputs("usage: ssmd-stager\n"
                    "\n"
                    "Started by ssmd for one phase of an update: request on standard input, answer "
                    "on standard output.\n",
                    stderr);
        return EXIT_USAGE;
    }
    return serve();
}
