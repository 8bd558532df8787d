/* The reading half: beside a running writer, without one, on a copied file, and where nothing may
 * be written. */
#include "journal_lib.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "journal/audit.h"
#include "tests/lib/count_vfs.h"

#define NOBODY 65534

static void open_reader(const struct world *w, struct reader **ret_reader)
{
    struct reader_options o = {.path = w->path, .machines = w->machines};

    OK(reader_open(&o, ret_reader, e_));
}

static void fill(struct world *w)
{
    struct fsm_instance inst;

    world_init(w, JOURNAL_SQLITE);
    job_run(w, "aa-1", 1);
    job_make(w, "ab-2", 3, &inst);
    fsm_instance_done(&inst);
    job_run(w, "ac-3", 2);
    job_make(w, "ad-4", 2, &inst);
    job_work(w, &inst);
    fsm_instance_done(&inst);
}

struct names {
    char text[256];
};

static int add_name(void *ctx, const struct reader_instance *i, struct err *err)
{
    struct names *n = ctx;
    size_t len = strlen(n->text);

    (void)err;
    (void)snprintf(n->text + len, sizeof(n->text) - len, "%s:%s:%s ", i->id, i->state, i->status);
    return 0;
}

static const char *list(struct reader *r, struct reader_filter f, struct names *n)
{
    n->text[0] = '\0';
    OK(reader_list(r, &f, add_name, n, e_));
    return n->text;
}

#define AA "aa-1:done:Success "
#define AB "ab-2:working:InProgress "
#define AC "ac-3:done:Success "
#define AD "ad-4:reporting:InProgress "

START_TEST(instances_are_listed_newest_first_as_the_filter_says)
{
    static const struct {
        struct reader_filter filter;
        const char *expected;
    } cases[] = {
        {{.limit = 0}, AD AC AB AA},
        {{.limit = 3}, AD AC AB},
        {{.limit = 2, .before_seq = 3}, AB AA},
        {{.which = READER_OPEN}, AD AB},
        {{.which = READER_ENDED}, AC AA},
        {{.state = "working"}, AB},
        {{.status = "InProgress"}, AD AB},
        {{.status = "InProgress", .limit = 1}, AD},
        {{.machine = "job", .status = "Success"}, AC AA},
        {{.machine = "other"}, ""},
        {{.since_unix_ms = INT64_C(1800000000000)}, ""},
    };
    AUTO(reader_close) struct reader *r = NULL;
    struct names names;
    struct world w;
    size_t i;

    fill(&w);
    open_reader(&w, &r);
    ck_assert(!reader_is_copy(r));
    for (i = 0; i < ARRAY_LEN(cases); i++)
        ck_assert_str_eq(list(r, cases[i].filter, &names), cases[i].expected);
    world_done(&w);
}
END_TEST

START_TEST(an_instance_is_found_by_the_beginning_of_its_id)
{
    AUTO(reader_close) struct reader *r = NULL;
    struct reader_instance i;
    const struct job_part *part;
    struct world w;
    struct err err;

    fill(&w);
    open_reader(&w, &r);
    OK(reader_get(r, "ac", &i, e_));
    ck_assert_str_eq(i.id, "ac-3");
    ck_assert_str_eq(i.message_id, "m.ac-3");
    ck_assert_str_eq(i.machine, "job");
    ck_assert_int_eq(i.n_transitions, 4);
    ck_assert_int_gt(i.ended_unix_ms, i.created_unix_ms);
    ck_assert(i.is_loaded);
    ck_assert_uint_eq(i.inst.n_children, 2);
    part = fsm_child(&i.inst, 1);
    ck_assert_str_eq(part->result, "fine");
    reader_instance_done(&i);
    ck_assert_int_eq(reader_get(r, "a", &i, &err), ERR_INVALID);
    ck_assert_int_eq(reader_get(r, "zz", &i, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(reader_get(r, "%", &i, &err), ERR_NOT_FOUND);
    world_done(&w);
}
END_TEST

START_TEST(a_whole_id_that_begins_another_one_is_not_ambiguous)
{
    AUTO(reader_close) struct reader *r = NULL;
    struct reader_instance i;
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    job_run(&w, "one-and-more", 1);
    job_run(&w, "one", 1);
    open_reader(&w, &r);
    OK(reader_get(r, "one", &i, e_));
    ck_assert_str_eq(i.id, "one");
    reader_instance_done(&i);
    world_done(&w);
}
END_TEST

static int add_transition(void *ctx, const struct reader_transition *t, struct err *err)
{
    struct names *n = ctx;
    size_t len = strlen(n->text);

    (void)err;
    (void)snprintf(n->text + len, sizeof(n->text) - len, "%d:%s:%s>%s ", (int)t->n, t->event,
                   t->from, t->to);
    return 0;
}

static int add_effect(void *ctx, const struct reader_effect *e, struct err *err)
{
    struct names *n = ctx;
    size_t len = strlen(n->text);

    (void)err;
    (void)snprintf(n->text + len, sizeof(n->text) - len, "%s:%d:%s ", e->kind, (int)e->arg,
                   e->closed_unix_ms == 0 ? "open" : "closed");
    return 0;
}

static int add_reply(void *ctx, const struct reader_reply *reply, struct err *err)
{
    struct names *n = ctx;
    size_t len = strlen(n->text);

    (void)err;
    (void)snprintf(n->text + len, sizeof(n->text) - len, "%s:%s:%s:%.*s ", reply->kind, reply->end,
                   reply->text, (int)reply->payload_len, reply->payload);
    return 0;
}

START_TEST(what_belongs_to_an_instance_is_read_in_order)
{
    AUTO(reader_close) struct reader *r = NULL;
    struct names n = {.text = ""};
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    job_run(&w, "one", 2);
    open_reader(&w, &r);
    OK(reader_transitions(r, "one", add_transition, &n, e_));
    ck_assert_str_eq(n.text, "0:created:>waiting 1:go:waiting>working 2:part-done:working>working "
                             "3:part-done:working>reporting 4:reported:reporting>done ");
    n.text[0] = '\0';
    OK(reader_effects(r, "one", add_effect, &n, e_));
    ck_assert_str_eq(n.text, "receipt:0:closed work:0:closed work:1:closed report:0:closed ");
    n.text[0] = '\0';
    OK(reader_replies(r, "one", add_reply, &n, e_));
    ck_assert_str_eq(n.text, "receipt:taken::one/1 final:taken:200:one/4 ");
    n.text[0] = '\0';
    OK(reader_replies(r, "nobody", add_reply, &n, e_));
    ck_assert_str_eq(n.text, "");
    world_done(&w);
}
END_TEST

static int check_message(void *ctx, const struct reader_message *m, struct err *err)
{
    (void)err;
    ++*(int *)ctx;
    ck_assert_str_eq(m->message_id, "m.one");
    ck_assert_str_eq(m->instance_id, "one");
    ck_assert_str_eq(m->channel, "local");
    ck_assert_uint_eq(m->payload_len, 8);
    if (m->payload != NULL)
        ck_assert_mem_eq(m->payload, "do \"one\"", 8);
    return 0;
}

static int check_fact(void *ctx, const char *key, const char *value, struct err *err)
{
    (void)err;
    ++*(int *)ctx;
    ck_assert_str_eq(key, "node");
    ck_assert_str_eq(value, "i-1");
    return 0;
}

static int check_ledger(void *ctx, const struct reader_ledger_row *row, struct err *err)
{
    (void)err;
    ++*(int *)ctx;
    ck_assert_int_eq(row->n, 1);
    ck_assert_str_eq(row->id, "one");
    ck_assert_str_eq(row->status, "Success");
    return 0;
}

START_TEST(messages_facts_ledger_and_counts_are_read)
{
    AUTO(reader_close) struct reader *r = NULL;
    struct journal_counts c;
    struct world w;
    struct err err;
    int n = 0;

    world_init(&w, JOURNAL_SQLITE);
    job_run(&w, "one", 1);
    OK(w.j->ops->begin(w.j, e_));
    OK(w.j->ops->put_fact(w.j, "node", "i-1", e_));
    OK(w.j->ops->commit(w.j, e_));
    open_reader(&w, &r);
    OK(reader_message(r, "one", check_message, &n, e_));
    OK(reader_messages(r, check_message, &n, e_));
    OK(reader_facts(r, check_fact, &n, e_));
    OK(reader_ledger(r, 0, check_ledger, &n, e_));
    ck_assert_int_eq(n, 4);
    OK(reader_ledger(r, 1, check_ledger, &n, e_));
    ck_assert_int_eq(n, 4);
    ck_assert_int_eq(reader_message(r, "two", check_message, &n, &err), ERR_NOT_FOUND);
    OK(reader_counts(r, &c, e_));
    ck_assert_int_eq(c.n_ended, 1);
    ck_assert_int_eq(c.n_ledger, 1);
    ck_assert_int_eq(c.n_open, 0);
    world_done(&w);
}
END_TEST

START_TEST(a_reader_sees_each_commit_and_is_not_in_the_writers_way)
{
    AUTO(reader_close) struct reader *r = NULL;
    struct journal_retention everything = {.old_upto = INT64_MAX};
    struct journal_counts c;
    struct world w;

    world_init(&w, JOURNAL_SQLITE);
    open_reader(&w, &r);
    job_run(&w, "one", 1);
    OK(reader_counts(r, &c, e_));
    ck_assert_int_eq(c.n_ended, 1);
    OK(w.j->ops->prune(w.j, &everything, 0, w.now + 1000, NULL, NULL, e_));
    OK(reader_counts(r, &c, e_));
    ck_assert_int_eq(c.n_ended, 0);
    ck_assert_int_eq(c.n_ledger, 1);
    world_done(&w);
}
END_TEST

START_TEST(a_reader_leaves_the_writers_log_alone)
{
    struct reader *r = NULL;
    struct names names;
    char wal[PATH_MAX + 32];
    struct stat before, after;
    struct world w;

    fill(&w);
    (void)snprintf(wal, sizeof(wal), "%s-wal", w.path);
    ck_assert_int_eq(stat(wal, &before), 0);
    ck_assert_int_gt(before.st_size, 0);
    open_reader(&w, &r);
    ck_assert_str_eq(list(r, (struct reader_filter){0}, &names), AD AC AB AA);
    reader_close(r);
    ck_assert_int_eq(stat(wal, &after), 0);
    ck_assert_int_eq(after.st_size, before.st_size);
    ck_assert_int_eq(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
    world_done(&w);
}
END_TEST

/* As after a power loss, or on a disk that was taken out: database and log, no writer. */
START_TEST(a_copied_database_is_read_together_with_its_log)
{
    struct reader_options o = {.machines = job_machines};
    AUTO(reader_close) struct reader *r = NULL;
    struct audit_options a = {0};
    struct audit_report report;
    char path[PATH_MAX + 32];
    struct names names;
    struct stat st;
    struct world w;

    fill(&w);
    world_shell(&w, "mkdir copy && cp journal.db journal.db-wal copy/");
    (void)snprintf(path, sizeof(path), "%s/copy/journal.db-wal", w.dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_gt(st.st_size, 0); /* all that was committed is in the log */
    (void)snprintf(path, sizeof(path), "%s/copy/journal.db", w.dir);
    o.path = path;
    OK(reader_open(&o, &r, e_));
    ck_assert_str_eq(list(r, (struct reader_filter){0}, &names), AD AC AB AA);
    OK(audit_verify(r, &a, &report, e_));
    ck_assert_int_eq(report.n_findings, 0);
    world_done(&w);
}
END_TEST

static int count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    ck_assert_int_eq(closedir(d), 0);
    return n;
}

START_TEST(where_no_shared_memory_can_be_made_a_private_copy_is_read_and_removed)
{
    struct reader_options o = {.machines = job_machines, .vfs = COUNT_VFS};
    struct reader *r = NULL;
    struct names names;
    char tmp[PATH_MAX + 32];
    struct world w;
    int n;

    count_vfs_register();
    count_vfs_reset();
    fill(&w);
    (void)snprintf(tmp, sizeof(tmp), "%s/tmp", w.dir);
    ck_assert_int_eq(mkdir(tmp, 0700), 0);
    ck_assert_int_eq(setenv("TMPDIR", tmp, 1), 0);
    n = count_entries(tmp);
    o.path = w.path;
    count_vfs.no_shm = true;
    OK(reader_open(&o, &r, e_));
    count_vfs_reset();
    ck_assert(reader_is_copy(r));
    ck_assert_int_eq(count_entries(tmp), n + 1);
    ck_assert_str_eq(list(r, (struct reader_filter){0}, &names), AD AC AB AA);
    reader_close(r);
    ck_assert_int_eq(count_entries(tmp), n);
    ck_assert_int_eq(unsetenv("TMPDIR"), 0);
    world_done(&w);
}
END_TEST

/* In a process of its own: another user, a directory that nobody may write to, no writer. */
static int read_as_nobody(const char *path)
{
    struct reader_options o = {.path = path, .machines = job_machines};
    struct reader *r = NULL;
    struct journal_counts c;
    struct err err;
    bool is_copy;

    if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
        return 2;
    if (setenv("TMPDIR", "/tmp", 1) < 0 || reader_open(&o, &r, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 3;
    }
    is_copy = reader_is_copy(r);
    if (reader_counts(r, &c, &err) < 0)
        return 4;
    reader_close(r);
    return is_copy && c.n_open == 2 && c.n_ended == 2 ? 0 : 5;
}

START_TEST(a_directory_that_cannot_be_written_is_read_by_way_of_a_copy)
{
    char path[PATH_MAX + 32];
    struct world w;
    int status;
    pid_t pid;

    fill(&w);
    world_shell(&w,
                "mkdir ro && cp journal.db journal.db-wal ro/ && chmod 444 ro/* && chmod 555 ro "
                "&& chmod 755 .");
    (void)snprintf(path, sizeof(path), "%s/ro/journal.db", w.dir);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(read_as_nobody(path));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    world_shell(&w, "chmod 700 ro .");
    world_done(&w);
}
END_TEST

static const struct {
    const char *make;
    int code;
} wrong[] = {
    {"true", ERR_NOT_FOUND},
    {": > x.db", ERR_NOT_FOUND},
    {"echo this is a letter and no database, as long as a header has to be at least, which is a "
     "hundred bytes > x.db",
     ERR_CORRUPT},
    {"sqlite3 x.db 'CREATE TABLE t(x)'", ERR_CORRUPT},
    {"sqlite3 x.db \"PRAGMA application_id = 1936944484; PRAGMA user_version = 99; CREATE TABLE "
     "meta(key, value); INSERT INTO meta VALUES('min_schema', '99')\"",
     ERR_NEWER},
    {"mkdir x.db", ERR_IO},
};

START_TEST(what_is_no_journal_is_said_to_be_none)
{
    struct reader_options o = {.machines = job_machines};
    char path[PATH_MAX + 16];
    struct reader *r = NULL;
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    world_shell(&w, "%s", wrong[_i].make);
    (void)snprintf(path, sizeof(path), "%s/x.db", w.dir);
    o.path = path;
    ck_assert_int_eq(reader_open(&o, &r, &err), wrong[_i].code);
    ck_assert_ptr_null(r);
    world_done(&w);
}
END_TEST

/* An older ssmctl, or one of another build: the machine is unknown, or has fields that this journal
 * does not have yet. */
START_TEST(jobs_of_an_unknown_machine_are_listed_with_what_can_be_read)
{
    static const struct fsm_machine *const none[] = {NULL};
    AUTO(reader_close) struct reader *r = NULL;
    struct reader_instance i;
    struct names names;
    struct world w;

    fill(&w);
    w.machines = none;
    open_reader(&w, &r);
    ck_assert_str_eq(list(r, (struct reader_filter){0}, &names),
                     "ad-4:reporting: " AC "ab-2:working: " AA);
    OK(reader_get(r, "ab", &i, e_));
    ck_assert(!i.is_loaded);
    ck_assert_str_eq(i.machine, "job");
    reader_instance_done(&i);
    world_done(&w);
}
END_TEST

struct wide_job {
    struct job old;
    char extra[8];
    int64_t more;
};

START_TEST(a_newer_reader_shows_fields_that_the_journal_does_not_have_as_empty)
{
    static const struct fsm_field fields[] = {
        FSM_FIELD_TEXT(struct wide_job, old.title),
        FSM_FIELD_TEXT(struct wide_job, extra),
        FSM_FIELD_I64(struct wide_job, more),
    };
    struct fsm_field named[ARRAY_LEN(fields)];
    struct fsm_machine wide = job_machine;
    const struct fsm_machine *const machines[] = {&wide, NULL};
    AUTO(reader_close) struct reader *r = NULL;
    struct reader_instance i;
    const struct wide_job *job;
    struct world w;

    memcpy(named, fields, sizeof(fields));
    named[0].name = "title";
    wide.fields = named;
    wide.n_fields = ARRAY_LEN(named);
    wide.data_size = sizeof(struct wide_job);
    fill(&w);
    w.machines = machines;
    open_reader(&w, &r);
    OK(reader_get(r, "ac", &i, e_));
    ck_assert(i.is_loaded);
    job = i.inst.data;
    ck_assert_str_eq(job->old.title, "a job");
    ck_assert_str_eq(job->extra, "");
    ck_assert_int_eq(job->more, 0);
    reader_instance_done(&i);
    world_done(&w);
}
END_TEST

struct nested {
    struct reader *r;
    int n;
};

static int count_one(void *ctx, const struct reader_transition *t, struct err *err)
{
    (void)t;
    (void)err;
    ++*(int *)ctx;
    return 0;
}

static int walk_inside(void *ctx, const struct reader_instance *i, struct err *err)
{
    struct nested *n = ctx;

    return reader_transitions(n->r, i->id, count_one, &n->n, err);
}

static int give_up(void *ctx, const struct reader_instance *i, struct err *err)
{
    (void)ctx;
    (void)i;
    return err_set(err, ERR_CANCELLED, "enough");
}

START_TEST(a_callback_may_read_on_and_may_stop_the_walk)
{
    AUTO(reader_close) struct reader *r = NULL;
    struct reader_filter all = {0};
    struct nested nested = {0};
    struct names names;
    struct world w;
    struct err err;

    fill(&w);
    open_reader(&w, &r);
    nested.r = r;
    OK(reader_list(r, &all, walk_inside, &nested, e_));
    ck_assert_int_eq(nested.n, 4 + 2 + 5 + 4);
    ck_assert_int_eq(reader_list(r, &all, give_up, NULL, &err), ERR_CANCELLED);
    ck_assert_str_eq(list(r, all, &names), AD AC AB AA); /* and nothing is left open */
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("reader");
    TCase *t = tcase_create("reader");
    SRunner *runner = srunner_create(s);
    int n_failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, instances_are_listed_newest_first_as_the_filter_says);
    tcase_add_test(t, an_instance_is_found_by_the_beginning_of_its_id);
    tcase_add_test(t, a_whole_id_that_begins_another_one_is_not_ambiguous);
    tcase_add_test(t, what_belongs_to_an_instance_is_read_in_order);
    tcase_add_test(t, messages_facts_ledger_and_counts_are_read);
    tcase_add_test(t, a_reader_sees_each_commit_and_is_not_in_the_writers_way);
    tcase_add_test(t, a_reader_leaves_the_writers_log_alone);
    tcase_add_test(t, a_copied_database_is_read_together_with_its_log);
    tcase_add_test(t, where_no_shared_memory_can_be_made_a_private_copy_is_read_and_removed);
    tcase_add_test(t, a_directory_that_cannot_be_written_is_read_by_way_of_a_copy);
    tcase_add_loop_test(t, what_is_no_journal_is_said_to_be_none, 0, (int)ARRAY_LEN(wrong));
    tcase_add_test(t, jobs_of_an_unknown_machine_are_listed_with_what_can_be_read);
    tcase_add_test(t, a_newer_reader_shows_fields_that_the_journal_does_not_have_as_empty);
    tcase_add_test(t, a_callback_may_read_on_and_may_stop_the_walk);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
