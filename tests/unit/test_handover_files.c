/* What the programs of an update tell each other: it comes back as it was, is understood across
 * versions, and is whole or not there. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "fsm/handover.h"
#include "tests/lib/fault.h"
#include "update/handover_files.h"

static char root[64];
static int dir_fd;
static struct err err;

static const struct handover_order some_order = {
    .id = "u0.1-8dc5d3a4-0000-0000-0000-000000000001",
    .from = "0.1.0",
    .to = "0.2.0",
    .proving_ms = 60000,
    .deadline_ms = 300000,
    .max_rss_bytes = 1ll << 33,
    .outage_ms = 7200000,
    .is_service_away = true,
    .pid_file = "/run/a file\nwith 100% of it/ssmd.pid",
    .unit = "ssmd.service",
    .boot_id_file = "/tmp/boot-id",
};

static const struct handover_health some_health = {
    .version = "0.2.0",
    .boot_id = "2b0a2a4e-6b3e-4c0e-8f3e-111111111111",
    .pid = 4711,
    .pid_start = 1234567,
    .since_boottime_ms = 1000,
    .at_boottime_ms = 2000,
    .has_journal = true,
    .has_service = true,
    .lacking = "two steps are not attached yet",
    .failed = "journal.db: it is newer",
};

static void begin(void)
{
    const char *temp = getenv("TMPDIR");

    (void)snprintf(root, sizeof(root), "%.30s/ssmd-handover.XXXXXX", temp != NULL ? temp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, root, &dir_fd, &err), 0);
}

static void end(void)
{
    (void)close(dir_fd);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}

static void put(const char *name, const char *text)
{
    ck_assert_int_eq(fs_write_atomic(dir_fd, name, text, strlen(text), 0600, false, &err), 0);
}

START_TEST(an_order_comes_back_as_it_was)
{
    struct handover_order o = {0};

    ck_assert_int_eq(handover_read_order(dir_fd, &o, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(handover_write_order(dir_fd, &some_order, &err), 0);
    ck_assert_msg(handover_read_order(dir_fd, &o, &err) == 0, "%s", err.text);
    ck_assert_str_eq(o.id, some_order.id);
    ck_assert_str_eq(o.from, "0.1.0");
    ck_assert_str_eq(o.to, "0.2.0");
    ck_assert_int_eq(o.proving_ms, 60000);
    ck_assert_int_eq(o.deadline_ms, 300000);
    ck_assert_int_eq(o.max_rss_bytes, 1ll << 33);
    ck_assert_int_eq(o.outage_ms, 7200000);
    ck_assert(o.is_service_away);
    ck_assert_str_eq(o.pid_file, some_order.pid_file);
    ck_assert_str_eq(o.unit, "ssmd.service");
    ck_assert_str_eq(o.boot_id_file, "/tmp/boot-id");
}
END_TEST

START_TEST(health_comes_back_as_it_was)
{
    struct handover_health h = {0};

    ck_assert_int_eq(handover_read_health(dir_fd, &h, &err), ERR_NOT_FOUND);
    ck_assert_int_eq(handover_write_health(dir_fd, &some_health, &err), 0);
    ck_assert_msg(handover_read_health(dir_fd, &h, &err) == 0, "%s", err.text);
    ck_assert_str_eq(h.version, "0.2.0");
    ck_assert_str_eq(h.boot_id, some_health.boot_id);
    ck_assert_int_eq(h.pid, 4711);
    ck_assert_int_eq(h.pid_start, 1234567);
    ck_assert_int_eq(h.since_boottime_ms, 1000);
    ck_assert_int_eq(h.at_boottime_ms, 2000);
    ck_assert(h.has_journal && !h.has_steps && h.has_service);
    ck_assert_str_eq(h.lacking, some_health.lacking);
    ck_assert_str_eq(h.failed, some_health.failed);
}
END_TEST

/* ---- progress ---- */

static void make_progress(struct fsm_instance *ret)
{
    struct fsm_event ev = {.kind = HANDOVER_EV_BEGIN, .at_unix_ms = 1700000000123, .boot_id = "b"};
    struct fsm_out out = {0};
    struct handover *h;

    ck_assert_int_eq(fsm_instance_init(ret, &handover_machine, "u-1", 0, 1700000000000, &err), 0);
    h = handover_of(ret);
    (void)str_copy(h->update, sizeof(h->update), "u-1");
    (void)str_copy(h->from_version, sizeof(h->from_version), "0.1.0");
    (void)str_copy(h->to_version, sizeof(h->to_version), "0.2.0");
    (void)str_copy(h->cause, sizeof(h->cause), "it was started 4 times:\n100 % of them died");
    h->deadline_ms = 300000;
    h->is_service_away = 1;
    ck_assert_int_eq(fsm_step(ret, &ev, &out), FSM_MOVED);
    out.opens[0].id = 7;
    ck_assert_int_eq(fsm_adopt(ret, &out), 0);
    fsm_out_done(&out);
    ret->deadline = (struct fsm_deadline){"boot-1", 12345, 300000};
}

START_TEST(progress_comes_back_as_it_was)
{
    AUTO(buf_done) struct buf before = {0}, after = {0};
    struct fsm_instance one, two;

    ck_assert_int_eq(handover_read_progress(dir_fd, &two, &err), ERR_NOT_FOUND);
    make_progress(&one);
    ck_assert_int_eq(handover_write_progress(dir_fd, &one, &err), 0);
    ck_assert_msg(handover_read_progress(dir_fd, &two, &err) == 0, "%s", err.text);
    buf_init(&before, 4096);
    buf_init(&after, 4096);
    fsm_dump(&one, &before);
    fsm_dump(&two, &after);
    ck_assert_str_eq(buf_str(&before), buf_str(&after));
    ck_assert_uint_eq(two.n_effects, 1);
    ck_assert_int_eq(two.effects[0].id, 7);
    ck_assert_int_eq(two.effects[0].kind, HANDOVER_FX_POINT);
    ck_assert_int_eq(two.effects[0].arg, 1);
    fsm_instance_done(&one);
    fsm_instance_done(&two);
}
END_TEST

/* ---- other versions ---- */

static int read_any(const char *name)
{
    struct handover_order o;
    struct handover_health h;
    struct fsm_instance inst;
    int r;

    if (str_eq(name, HANDOVER_ORDER))
        return handover_read_order(dir_fd, &o, &err);
    if (str_eq(name, HANDOVER_HEALTH))
        return handover_read_health(dir_fd, &h, &err);
    r = handover_read_progress(dir_fd, &inst, &err);
    if (r == 0)
        fsm_instance_done(&inst);
    return r;
}

#define ORDER                                                                                      \
    "ssmd-record 1 order\nid=u-1\nfrom=0.1.0\nto=0.2.0\nproving_ms=1\ndeadline_ms=2\n"             \
    "pid_file=/run/ssmd.pid\n"
#define HEALTH                                                                                     \
    "ssmd-record 1 health\nversion=0.2.0\nboot_id=b\npid=1\npid_start=2\nsince_boottime_ms=3\n"    \
    "at_boottime_ms=4\n"
#define PROGRESS "ssmd-record 1 progress\nid=u-1\nn_transitions=1\nfield.cause=x\n"

static const struct {
    const char *name, *text;
    int result;
    const char *said;
} records[] = {
    /* One version back: keys that came later are missing. */
    {HANDOVER_ORDER, ORDER "end\n", 0, ""},
    {HANDOVER_HEALTH, HEALTH "end\n", 0, ""},
    {HANDOVER_PROGRESS, PROGRESS "state=proving\nend\n", 0, ""},
    /* One version on: keys that nobody here knows. */
    {HANDOVER_ORDER, ORDER "cgroup=/a\nnew.key=1\nend\n", 0, ""},
    {HANDOVER_HEALTH, HEALTH "has_moon=1\nend\n", 0, ""},
    {HANDOVER_PROGRESS, PROGRESS "state=proving\nfield.moon=1\neffect=3 1 0 watch\nend\n", 0, ""},
    {HANDOVER_PROGRESS, PROGRESS "state=flying\nend\n", ERR_NEWER, "flying"},
    {HANDOVER_PROGRESS, PROGRESS "state=proving\neffect=3 1 0 fly\nend\n", ERR_NEWER, "fly"},
    {HANDOVER_ORDER, "ssmd-record 2 order\nend\n", ERR_NEWER, "version 2"},
    /* What is no record of ours. */
    {HANDOVER_ORDER, "", ERR_CORRUPT, "cut off"},
    {HANDOVER_ORDER, ORDER, ERR_CORRUPT, "cut off"},
    {HANDOVER_ORDER, HEALTH "end\n", ERR_CORRUPT, "kind"},
    {HANDOVER_ORDER, "ssmd-record 1 order\nid=u-1\nfrom=../0\nto=1\nend\n", ERR_CORRUPT, "from"},
    {HANDOVER_ORDER, "ssmd-record 1 order\nid=u-1\nfrom=1\nto=\nend\n", ERR_CORRUPT, "to"},
    {HANDOVER_ORDER, "ssmd-record 1 order\nfrom=1\nto=2\nend\n", ERR_CORRUPT, "id is missing"},
    {HANDOVER_HEALTH, HEALTH, ERR_CORRUPT, "cut off"},
    {HANDOVER_HEALTH, "ssmd-record 1 health\nversion=1\nboot_id=b\npid=x\nend\n", ERR_CORRUPT,
     "pid"},
    {HANDOVER_PROGRESS, PROGRESS "end\n", ERR_CORRUPT, "state"},
    {HANDOVER_PROGRESS, PROGRESS "state=proving\nfield.deadline_ms=soon\nend\n", ERR_CORRUPT,
     "deadline_ms"},
    {HANDOVER_PROGRESS, PROGRESS "state=proving\neffect=3 1 watch\nend\n", ERR_CORRUPT, "effect"},
    {HANDOVER_PROGRESS, PROGRESS "state=proving\neffect=\nend\n", ERR_CORRUPT, "effect"},
    {HANDOVER_PROGRESS,
     PROGRESS "state=proving\nfield.from_version="
              "1111111111111111111111111111111111111111111111111111111111111111\nend\n",
     ERR_CORRUPT, "from_version is too long"},
};

START_TEST(records_of_other_versions_and_damaged_ones_are_told_apart)
{
    put(records[_i].name, records[_i].text);
    ck_assert_int_eq(read_any(records[_i].name), records[_i].result);
    if (records[_i].result != 0)
        ck_assert_msg(strstr(err.text, records[_i].said) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_file_that_is_too_large_is_damaged)
{
    static char large[70 << 10];

    memset(large, 'x', sizeof(large) - 1);
    put(HANDOVER_ORDER, large);
    ck_assert_int_eq(read_any(HANDOVER_ORDER), ERR_CORRUPT);
}
END_TEST

START_TEST(a_link_in_the_place_of_a_record_is_not_followed)
{
    put("elsewhere", ORDER "end\n");
    ck_assert_int_eq(symlinkat("elsewhere", dir_fd, HANDOVER_ORDER), 0);
    ck_assert_int_eq(read_any(HANDOVER_ORDER), ERR_IO);
}
END_TEST

/* A byte of each record is lost, or another one: never read as something else. */
START_TEST(a_torn_record_is_never_taken_for_a_whole_one)
{
    AUTO(buf_done) struct buf text = {0};
    struct fsm_instance inst;
    size_t n;

    make_progress(&inst);
    ck_assert_int_eq(handover_write_progress(dir_fd, &inst, &err), 0);
    fsm_instance_done(&inst);
    buf_init(&text, 4096);
    ck_assert_int_eq(fs_read_file(dir_fd, HANDOVER_PROGRESS, &text, &err), 0);
    for (n = 0; n < text.len; n++) {
        ck_assert_int_eq(
            fs_write_atomic(dir_fd, HANDOVER_PROGRESS, buf_str(&text), n, 0600, false, &err), 0);
        ck_assert_int_eq(read_any(HANDOVER_PROGRESS), ERR_CORRUPT);
    }
}
END_TEST

/* ---- failing calls ---- */

START_TEST(there_is_the_old_record_or_the_new_one_when_any_call_fails)
{
    struct fsm_instance old, new, got;
    int n;

    make_progress(&old);
    make_progress(&new);
    new.state = HANDOVER_PROVING;
    for (n = 1;; n++) {
        int r;

        ck_assert_int_eq(handover_write_progress(dir_fd, &old, &err), 0);
        fault_at(n, n % 2 == 0 ? EIO : ENOSPC);
        r = handover_write_progress(dir_fd, &new, &err);
        if (!fault_has_hit())
            break;
        ck_assert_msg(r < 0, "call %d", n);
        ck_assert_msg(handover_read_progress(dir_fd, &got, &err) == 0, "%s", err.text);
        ck_assert(got.state == old.state || got.state == new.state);
        fsm_instance_done(&got);
        ck_assert_int_eq(faccessat(dir_fd, ".progress.tmp", F_OK, 0), -1);
    }
    ck_assert_int_ge(n, 6); /* unlink, open, write, sync, rename, sync */
    fsm_instance_done(&old);
    fsm_instance_done(&new);
}
END_TEST

START_TEST(an_order_is_written_or_an_error_when_any_call_fails)
{
    struct handover_order got;
    int n;

    for (n = 1;; n++) {
        int r;

        (void)unlinkat(dir_fd, HANDOVER_ORDER, 0);
        fault_at(n, EROFS);
        r = handover_write_order(dir_fd, &some_order, &err);
        if (!fault_has_hit())
            break;
        ck_assert_msg(r < 0, "call %d", n);
        ck_assert_msg(strstr(err.text, "Read-only") != NULL, "%s", err.text);
        r = handover_read_order(dir_fd, &got, &err);
        ck_assert(r == ERR_NOT_FOUND || (r == 0 && str_eq(got.id, some_order.id)));
    }
    ck_assert_int_ge(n, 6);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handover_files");
    TCase *t = tcase_create("handover files");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, an_order_comes_back_as_it_was);
    tcase_add_test(t, health_comes_back_as_it_was);
    tcase_add_test(t, progress_comes_back_as_it_was);
    tcase_add_loop_test(t, records_of_other_versions_and_damaged_ones_are_told_apart, 0,
                        (int)ARRAY_LEN(records));
    tcase_add_test(t, a_file_that_is_too_large_is_damaged);
    tcase_add_test(t, a_link_in_the_place_of_a_record_is_not_followed);
    tcase_add_test(t, a_torn_record_is_never_taken_for_a_whole_one);
    tcase_add_test(t, there_is_the_old_record_or_the_new_one_when_any_call_fails);
    tcase_add_test(t, an_order_is_written_or_an_error_when_any_call_fails);
    suite_add_tcase(suite, t);
    sr = srunner_create(suite);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
