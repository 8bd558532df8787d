/* The engine in a world of its own. */
#include "engine_world.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "schema/reply.h"
#include "tests/lib/loop_until.h"

static void answer_all(uv_idle_t *idle)
{
    struct engine_world *w = idle->data;
    size_t i, n = w->n_waiting;
    (void)uv_idle_stop(idle);
    w->n_waiting = 0;
    for (i = 0; i < n; i++) {
        struct err err = w->waiting[i].is_acknowledge && w->acknowledge_answer.code != 0
                             ? w->acknowledge_answer
                             : w->answer;

        w->waiting[i].done(w->waiting[i].ctx,
                           err.code == 0             ? LINK_TAKEN
                           : err.code == ERR_REFUSED ? LINK_REFUSED
                                                     : LINK_AGAIN,
                           err.code != 0 ? &err : NULL);
    }
}

static int tell(struct engine_world *w, const char *what, const char *message_id,
                const char *reply_id, const char *payload, link_done_fn done, void *ctx)
{
    AUTO(reply_done) struct reply parsed = {0};
    struct told *t = &w->told[w->n_told++];

    ck_assert(w->n_told < ENGINE_WORLD_MAX && w->n_waiting < ENGINE_WORLD_MAX);
    (void)str_copy(t->what, sizeof(t->what), what);
    (void)str_copy(t->message_id, sizeof(t->message_id), message_id);
    (void)str_copy(t->reply_id, sizeof(t->reply_id), reply_id);
    if (payload != NULL) {
        t->payload = strdup(payload);
        ck_assert_int_eq(reply_parse(payload, strlen(payload), &parsed, NULL), 0);
        (void)str_copy(t->status, sizeof(t->status), parsed.document_status);
    }
    w->waiting[w->n_waiting].done = done;
    w->waiting[w->n_waiting].is_acknowledge = str_eq(what, "acknowledge");
    w->waiting[w->n_waiting++].ctx = ctx;
    (void)uv_idle_start(&w->answers, answer_all);
    return 0;
}

static int on_reply(struct link *l, const struct link_reply *r, link_done_fn done, void *ctx,
                    struct err *err)
{
    struct engine_world *w = container_of(l, struct engine_world, link);

    if (w->n_unbegun > 0) {
        w->n_unbegun--;
        return err_set(err, ERR_NETWORK, "the channel is not open");
    }
    return tell(w, "reply", r->message_id, r->reply_id, r->payload, done, ctx);
}

static int on_acknowledge(struct link *l, const char *message_id, enum link_verdict verdict,
                          link_done_fn done, void *ctx, struct err *err)
{
    if (verdict == LINK_REJECTED)
        container_of(l, struct engine_world, link)->n_rejected++;
    (void)err;
    return tell(container_of(l, struct engine_world, link), "acknowledge", message_id, "", NULL,
                done, ctx);
}

static int on_fail(struct link *l, const char *message_id, link_done_fn done, void *ctx,
                   struct err *err)
{
    (void)err;
    return tell(container_of(l, struct engine_world, link), "fail", message_id, "", NULL, done,
                ctx);
}

static void on_open(struct link *l, bool is_open)
{
    container_of(l, struct engine_world, link)->is_open = is_open;
}

static void on_ended(void *ctx, int64_t n_files)
{
    struct engine_world *w = ctx;

    if (w->ended != NULL)
        w->ended(w, n_files);
}

static bool may_begin(void *ctx, int64_t n_open, int64_t n_more)
{
    struct engine_world *w = ctx;

    return w->may_begin == NULL || w->may_begin(w, n_open, n_more);
}

static void open_all(struct engine_world *w, const char *boot_id)
{
    const struct journal_options jo = {.path = w->paths.journal,
                                       .head_path = w->paths.ledger_head,
                                       .boot_id = boot_id,
                                       .vfs = w->vfs};
    const struct engine_options base = {.loop = &w->loop,
                                        .config = &w->config,
                                        .paths = &w->paths,
                                        .platform = &w->platform,
                                        .boot_id = boot_id,
                                        .ended = on_ended,
                                        .may_begin = may_begin,
                                        .ctx = w};
    struct engine_options eo = base;
    struct err err = {0};

    ck_assert_msg(journal_open_sqlite(&jo, &w->real, &err) == 0, "%s", err.text);
    w->journal = w->real;
    if (w->fault != NULL)
        ck_assert_int_eq(journal_open_fault(w->real, w->fault, &w->journal, &err), 0);
    eo.journal = w->journal;
    ck_assert_msg(engine_new(&eo, &w->engine, &err) == 0, "%s", err.text);
    engine_add_link(w->engine, &w->link);
    if (w->lookup != NULL)
        engine_set_lookup(w->engine, w->lookup);
    if (w->parameters != NULL)
        engine_set_parameter_source(w->engine, w->parameters);
    w->is_open = true;
    ck_assert_msg(engine_start(w->engine, &err) == 0, "%s", err.text);
}

static void close_all(struct engine_world *w)
{
    engine_stop(w->engine);
    w->n_waiting = 0;
    (void)uv_idle_stop(&w->answers);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    engine_free(w->engine);
    if (w->journal != w->real)
        journal_close(w->journal);
    journal_close(w->real);
}

void engine_world_init(struct engine_world *w, const char *vfs, struct journal_fault *fault)
{
    const char *temp = getenv("TMPDIR"), *runner = getenv("SSMD_RUNNER");
    struct err err;
    int fd = -1;

    ck_assert_msg(runner != NULL, "SSMD_RUNNER is not set: ctest does, a run by hand has to");

    memset(w, 0, sizeof(*w));
    w->vfs = vfs;
    w->fault = fault;
    w->link = (struct link){.name = "ec2messages",
                            .reply = on_reply,
                            .acknowledge = on_acknowledge,
                            .fail = on_fail,
                            .set_open = on_open};
    (void)snprintf(w->dir, sizeof(w->dir), "%.30s/ssmd-engine.XXXXXX",
                   temp != NULL ? temp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    ck_assert_int_eq(paths_init(&w->paths, w->dir, &err), 0);
    ck_assert_int_eq(fs_make_path(w->paths.state_dir, &fd, &err), 0);
    (void)close(fd);
    config_init(&w->config, ".");
    (void)str_copy(w->config.runner_path, sizeof(w->config.runner_path), runner);
    (void)str_copy(w->config.instance_id, sizeof(w->config.instance_id), "mi-0123456789abcdef0");
    (void)str_copy(w->config.identity_region, sizeof(w->config.identity_region), "us-east-1");
    w->config.kill_grace_ms = 100;
    (void)str_copy(w->config.reboot_words[0], CONFIG_MAX_TEXT, "/bin/true");
    w->config.reboot_argv[1] = NULL;
    ck_assert_int_eq(log_set_levels("error", &err), 0);
    ck_assert_int_eq(uv_loop_init(&w->loop), 0);
    (void)uv_idle_init(&w->loop, &w->answers);
    w->answers.data = w;
    open_all(w, "boot-1");
}

void engine_world_done(struct engine_world *w)
{
    struct err err;
    size_t i;

    close_all(w);
    uv_close((uv_handle_t *)&w->answers, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&w->loop), 0);
    for (i = 0; i < w->n_told; i++)
        free(w->told[i].payload);
    ck_assert_msg(fs_remove_tree(AT_FDCWD, w->dir, &err) == 0, "%s", err.text);
}

void engine_world_crash(struct engine_world *w)
{
    close_all(w);
}

void engine_world_start(struct engine_world *w, const char *boot_id)
{
    open_all(w, boot_id);
}

void engine_world_restart(struct engine_world *w, const char *boot_id)
{
    close_all(w);
    open_all(w, boot_id);
}

void engine_world_receive(struct engine_world *w, const char *topic, const char *message_id,
                          const char *payload)
{
    const struct engine_message m = {.channel = "ec2messages",
                                     .message_id = message_id,
                                     .topic = topic,
                                     .destination = "mi-0123456789abcdef0",
                                     .created_date = "2024-05-04T17:07:27.983Z",
                                     .payload = payload};
    struct err err;

    ck_assert_msg(engine_receive(w->engine, &m, &err) == 0, "%s", err.text);
}

const char *engine_world_send(struct engine_world *w, int number, int n_steps, const char *script)
{
    static char message_id[128];
    AUTO(buf_done) struct buf payload = {0};
    int i;

    buf_init(&payload, 1 << 20);
    (void)buf_add_str(&payload,
                      "{\"DocumentName\":\"Test\",\"CommandId\":\"x\",\"DocumentContent\":"
                      "{\"schemaVersion\":\"2.2\",\"mainSteps\":[");
    for (i = 0; i < n_steps; i++) {
        (void)buf_printf(
            &payload,
            "%s{\"action\":\"aws:runShellScript\",\"name\":\"s%d\",\"inputs\":{\"runCommand\":[",
            i > 0 ? "," : "", i);
        (void)buf_add_json_str(&payload, script, strlen(script));
        (void)buf_add_str(&payload, "]}}");
    }
    (void)buf_add_str(&payload, "]}}");
    ck_assert_int_eq(buf_error(&payload, "payload", NULL), 0);
    (void)snprintf(message_id, sizeof(message_id),
                   "aws.ssm.00000000-0000-4000-8000-%012d.mi-0123456789abcdef0", number);
    engine_world_receive(w, "aws.ssm.sendCommand.us.east.1.1", message_id, buf_str(&payload));
    return message_id;
}

void engine_world_turns(struct engine_world *w, int n)
{
    while (n-- > 0)
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

void engine_world_until(struct engine_world *w, bool (*holds)(struct engine_world *w))
{
    engine_world_turns(w, 2); /* what was received a moment ago is not a job before its turn */
    LOOP_UNTIL(&w->loop, holds(w));
}

size_t engine_world_count(const struct engine_world *w, const char *what, const char *status)
{
    size_t i, n = 0;

    for (i = 0; i < w->n_told; i++)
        n += str_eq(w->told[i].what, what) && (status == NULL || str_eq(w->told[i].status, status));
    return n;
}

bool engine_world_is_idle(struct engine_world *w)
{
    struct journal_counts c;

    return w->journal->ops->counts(w->journal, &c, NULL) == 0 && c.n_open == 0;
}

int64_t engine_world_commits(struct engine_world *w)
{
    struct journal_counts c = {0};

    ck_assert_int_eq(w->journal->ops->counts(w->journal, &c, NULL), 0);
    return c.n_commits;
}

size_t engine_world_processes(const struct engine_world *w)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    size_t n = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir)) != NULL) {
        AUTO(buf_done) struct buf words = {0};
        char name[300];
        size_t i;

        buf_init(&words, 1 << 20);
        (void)snprintf(name, sizeof(name), "/proc/%s/cmdline", entry->d_name);
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            fs_read_file(AT_FDCWD, name, &words, NULL) < 0)
            continue;
        for (i = 0; i < words.len; i++)
            if (words.data[i] == '\0')
                words.data[i] = ' ';
        n += strstr(buf_str(&words), w->dir) != NULL;
    }
    (void)closedir(dir);
    return n;
}

const char *engine_world_file(struct engine_world *w, const char *name)
{
    static char text[65536];
    AUTO(buf_done) struct buf b = {0};
    char path[256];

    buf_init(&b, sizeof(text) - 1);
    (void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    if (fs_read_file(AT_FDCWD, path, &b, NULL) < 0)
        return "";
    (void)snprintf(text, sizeof(text), "%s", buf_str(&b));
    return text;
}

const char *engine_world_marking(const struct engine_world *w, const char *rest)
{
    static char script[640];

    (void)snprintf(script, sizeof(script), "echo ran >> %s/mark; %s", w->dir, rest);
    return script;
}

const char *engine_world_waiting(const struct engine_world *w, const char *rest)
{
    char loop[400];

    (void)snprintf(loop, sizeof(loop), "while [ -d %s ] && [ ! -e %s/go ]; do sleep 0.05; done; %s",
                   w->dir, w->dir, rest);
    return engine_world_marking(w, loop);
}

void engine_world_go(const struct engine_world *w)
{
    char name[128];
    FILE *f;

    (void)snprintf(name, sizeof(name), "%s/go", w->dir);
    f = fopen(name, "w");
    ck_assert_ptr_nonnull(f);
    (void)fclose(f);
}

size_t engine_world_n_marks(struct engine_world *w)
{
    const char *text = engine_world_file(w, "mark");
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

bool engine_world_is_marked(struct engine_world *w)
{
    return engine_world_n_marks(w) > 0;
}
