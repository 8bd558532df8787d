/* What of an update source is believed, and what is remembered of it. The attacks are in
 * test_bad_metadata.c. */
#include "release_world.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

static struct world w;

static void set_up(void)
{
    world_init(&w);
}

static void tear_down(void)
{
    world_done(&w);
}

START_TEST(a_good_source_is_believed)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};

    ck_assert_msg(world_run(&w, &t, &err) == 0, "%s", err.text);
    ck_assert_int_eq(trust_root(t)->version, 1);
    ck_assert_int_eq(trust_timestamp(t)->version, TIMESTAMP_VERSION);
    ck_assert_int_eq(trust_manifest(t)->version, MANIFEST_VERSION);
    ck_assert_uint_eq(trust_manifest(t)->packages[0].files[0].n_versions, 2);
}
END_TEST

START_TEST(the_same_source_is_believed_again)
{
    world_update(&w);
    world_update(&w);
}
END_TEST

START_TEST(nothing_is_told_or_kept_before_every_check_has_passed)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct trust_wanted wanted;
    struct err err = {0};
    int n_steps = 0;

    ck_assert_int_eq(trust_begin(w.given, w.n_given, NULL, 0, w.now_unix_ms, &t, &err), 0);
    while (trust_wanted(t, &wanted)) {
        AUTO(buf_done) struct buf record = {0};
        const struct world_file *f = world_file(&w, wanted.name);

        buf_init(&record, TRUST_FILE_MAX_BYTES);
        ck_assert_ptr_null(trust_manifest(t));
        ck_assert_ptr_null(trust_timestamp(t));
        ck_assert_int_eq(trust_record(t, &record, &err), ERR_STATE);
        ck_assert_uint_eq(record.len, 0);
        ck_assert_int_eq(f != NULL ? trust_take(t, f->bytes, f->n, &err) : trust_take_none(t, &err),
                         0);
        n_steps++;
    }
    ck_assert_int_eq(n_steps, 3); /* no next root, timestamp, manifest */
    ck_assert_ptr_nonnull(trust_manifest(t));
    ck_assert_int_eq(trust_take(t, "", 0, &err), ERR_STATE);
    ck_assert_int_eq(trust_take_none(t, &err), ERR_STATE);
}
END_TEST

START_TEST(after_a_failure_nothing_more_is_taken)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct trust_wanted wanted;
    struct err err = {0};

    ck_assert_int_eq(trust_begin(w.given, w.n_given, NULL, 0, w.now_unix_ms, &t, &err), 0);
    ck_assert_int_eq(trust_take(t, "{}", 2, &err), ERR_INVALID);
    ck_assert(!trust_wanted(t, &wanted));
    ck_assert_int_eq(trust_take_none(t, &err), ERR_STATE);
    ck_assert_ptr_null(trust_manifest(t));
}
END_TEST

/* ---- roots that follow ---- */

#define KEYS_ROOT (BIT(K_ROOT_A) | BIT(K_ROOT_B) | BIT(K_ROOT_C))
#define KEYS_RELEASE (BIT(K_RELEASE_A) | BIT(K_RELEASE_B) | BIT(K_RELEASE_C))
#define KEYS_TIME (BIT(K_TIME_A) | BIT(K_TIME_B))

static void put_root(int64_t version, uint64_t root, uint64_t release, uint64_t timestamp,
                     uint64_t signers)
{
    const uint64_t keys[RELEASE_N_ROLES] = {root, release, timestamp};
    const int64_t thresholds[RELEASE_N_ROLES] = {2, 2, 1};
    struct release_root r;

    world_make_root(&w, version, keys, thresholds, &r);
    world_put_root(&w, &r, signers);
}

static int64_t root_in_force(void)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};

    ck_assert_msg(world_run(&w, &t, &err) == 0, "%s", err.text);
    return trust_root(t)->version;
}

START_TEST(roots_are_followed_one_by_one_and_the_chain_goes_on_where_it_was)
{
    int64_t version;

    for (version = 2; version <= 1 + TRUST_MAX_ROOTS; version++)
        put_root(version, KEYS_ROOT, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS);
    world_update(&w);
    ck_assert_int_eq(root_in_force(), 1 + TRUST_MAX_ROOTS);
    for (; version <= 2 * TRUST_MAX_ROOTS; version++)
        put_root(version, KEYS_ROOT, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS);
    world_remove(&w, "2.root.json"); /* nobody asks for it any more */
    ck_assert_int_eq(root_in_force(), 2 * TRUST_MAX_ROOTS);
}
END_TEST

START_TEST(an_expired_root_between_two_does_not_break_the_chain)
{
    struct release_root old;

    world_default_root(&w, 2, &old);
    old.expires_unix_ms = WORLD_NOW - DAY_MS;
    world_put_root(&w, &old, ROOT_KEYS);
    put_root(3, KEYS_ROOT, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS);
    ck_assert_int_eq(root_in_force(), 3);
}
END_TEST

START_TEST(all_root_keys_can_be_changed_when_old_and_new_sign)
{
    const uint64_t fresh = BIT(K_ROOT_C) | BIT(K_STRANGER);

    put_root(2, fresh, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS | fresh);
    put_root(3, fresh, KEYS_RELEASE, KEYS_TIME, fresh);
    ck_assert_int_eq(root_in_force(), 3);
}
END_TEST

START_TEST(a_key_that_was_revoked_counts_no_longer)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};

    put_root(2, KEYS_ROOT, BIT(K_RELEASE_B) | BIT(K_RELEASE_C), KEYS_TIME, ROOT_KEYS);
    ck_assert_int_eq(world_run(&w, &t, &err), ERR_AUTH); /* still signed by A and B */
    ck_assert_ptr_nonnull(strstr(err.text, "manifest.json"));
    world_put_manifest(&w, MANIFEST_VERSION, BIT(K_RELEASE_B) | BIT(K_RELEASE_C));
    world_put_timestamp(&w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
    ck_assert_int_eq(root_in_force(), 2);
}
END_TEST

START_TEST(files_signed_for_two_roots_at_once_are_believed_under_both)
{
    const uint64_t fresh = BIT(K_RELEASE_C) | BIT(K_STRANGER);

    world_put_manifest(&w, MANIFEST_VERSION, RELEASE_KEYS | fresh);
    world_put_timestamp(&w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS | BIT(K_STRANGER));
    ck_assert_int_eq(root_in_force(), 1);
    put_root(2, KEYS_ROOT, fresh, BIT(K_STRANGER), ROOT_KEYS);
    ck_assert_int_eq(root_in_force(), 2);
}
END_TEST

/* ---- fast-forward: a thief has signed the highest versions there are ---- */

static const struct {
    const char *name;
    uint64_t release, timestamp; /* of the root that follows */
    bool is_timestamp_high, is_manifest_high, is_recovered;
} recoveries[] = {
    {"timestamp high, its keys stay", KEYS_RELEASE, KEYS_TIME, true, false, false},
    {"timestamp high, its key is revoked", KEYS_RELEASE, BIT(K_TIME_B), true, false, true},
    {"timestamp high, a key is added", KEYS_RELEASE, KEYS_TIME | BIT(K_STRANGER), true, false,
     false},
    {"timestamp high, a release key is revoked", BIT(K_RELEASE_B) | BIT(K_RELEASE_C), KEYS_TIME,
     true, false, false},
    {"manifest high, its keys stay", KEYS_RELEASE, KEYS_TIME, false, true, false},
    {"manifest high, a release key is revoked", BIT(K_RELEASE_B) | BIT(K_RELEASE_C), KEYS_TIME,
     false, true, true},
    {"manifest high, a timestamp key is revoked", KEYS_RELEASE, BIT(K_TIME_B), false, true, false},
    {"both high, both revoked", BIT(K_RELEASE_B) | BIT(K_RELEASE_C), BIT(K_TIME_B), true, true,
     true},
    {"both high, one revoked", BIT(K_RELEASE_B) | BIT(K_RELEASE_C), KEYS_TIME, true, true, false},
};

START_TEST(only_revoking_the_stolen_key_undoes_a_fast_forward)
{
    const int64_t high = RELEASE_MAX_NUMBER;
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};
    int64_t manifest = recoveries[_i].is_manifest_high ? high : MANIFEST_VERSION;
    uint64_t good_release = recoveries[_i].release & ~BIT(K_RELEASE_A);
    int r;

    world_put_manifest(&w, manifest, RELEASE_KEYS);
    world_put_timestamp(&w, recoveries[_i].is_timestamp_high ? high : TIMESTAMP_VERSION, manifest,
                        TIME_KEYS);
    world_update(&w);
    /* The publisher goes on from where he was. */
    put_root(2, KEYS_ROOT, recoveries[_i].release, recoveries[_i].timestamp, ROOT_KEYS);
    world_put_manifest(&w, MANIFEST_VERSION + 1, good_release);
    world_put_timestamp(&w, TIMESTAMP_VERSION + 1, MANIFEST_VERSION + 1, BIT(K_TIME_B));
    r = world_run(&w, &t, &err);
    ck_assert_msg(r == (recoveries[_i].is_recovered ? 0 : ERR_REFUSED), "%s: %s",
                  recoveries[_i].name, err.text);
}
END_TEST

/* ---- the root file that the machine was given ---- */

static void give(const char *name)
{
    const struct world_file *f = world_file(&w, name);

    free(w.given);
    w.given = strdup(f->bytes);
    w.n_given = f->n;
}

START_TEST(a_root_file_that_the_chain_came_through_takes_nothing_back)
{
    put_root(2, KEYS_ROOT, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS);
    put_root(3, KEYS_ROOT, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS);
    world_update(&w);
    give("2.root.json"); /* as an older package would bring it */
    world_remove(&w, "3.root.json");
    ck_assert_int_eq(root_in_force(), 3);
}
END_TEST

START_TEST(another_root_file_begins_anew_and_keeps_the_versions_of_keys_that_stay)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};

    world_update(&w);
    put_root(5, KEYS_ROOT, KEYS_RELEASE, KEYS_TIME, ROOT_KEYS);
    give("5.root.json");
    ck_assert_int_eq(root_in_force(), 5);
    world_put_timestamp(&w, TIMESTAMP_VERSION - 1, MANIFEST_VERSION, TIME_KEYS);
    ck_assert_int_eq(world_run(&w, &t, &err), ERR_REFUSED);
}
END_TEST

START_TEST(a_machine_can_be_given_to_another_source)
{
    struct world other;

    world_update(&w);
    world_init(&other);
    world_put_manifest(&other, 1, RELEASE_KEYS);
    world_put_timestamp(&other, 1, 1, TIME_KEYS);
    other.stored = TAKE(w.stored);
    other.n_stored = w.n_stored;
    world_update(&other);
    world_update(&other);
    world_done(&other);
}
END_TEST

/* ---- time ---- */

static const struct {
    int64_t after_ms;
    bool is_believed;
} times[] = {
    {-DAY_MS - TRUST_CLOCK_SLACK_MS - 1, false}, /* the timestamp was made a day ago */
    {-DAY_MS - TRUST_CLOCK_SLACK_MS, true},
    {0, true},
    {7 * DAY_MS - 1, true},
    {7 * DAY_MS, false},
};

START_TEST(is_believed_from_its_making_to_its_end)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};

    w.now_unix_ms += times[_i].after_ms;
    ck_assert_int_eq(world_run(&w, &t, &err), times[_i].is_believed ? 0 : ERR_REFUSED);
}
END_TEST

/* ---- files ---- */

struct place {
    char path[64], root_file[96];
    int dirfd;
};

static void place_init(struct place *p)
{
    struct err err = {0};

    (void)snprintf(p->path, sizeof(p->path), "/tmp/test_trust.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(p->path));
    (void)snprintf(p->root_file, sizeof(p->root_file), "%s/root.json", p->path);
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, p->path, &p->dirfd, &err), 0);
    ck_assert_int_eq(fs_write_atomic(p->dirfd, "root.json", w.given, w.n_given, 0644, false, &err),
                     0);
}

static void place_done(struct place *p)
{
    struct err err = {0};

    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, p->path, &err), 0);
    (void)close(p->dirfd);
}

static int run_in(const struct place *p, struct trust **ret_trust, struct err *err)
{
    struct trust_wanted wanted;
    int r = trust_open(p->root_file, p->dirfd, w.now_unix_ms, ret_trust, err);

    while (r == 0 && trust_wanted(*ret_trust, &wanted)) {
        const struct world_file *f = world_file(&w, wanted.name);

        r = f != NULL ? trust_take(*ret_trust, f->bytes, f->n, err)
                      : trust_take_none(*ret_trust, err);
    }
    return r;
}

START_TEST(what_was_believed_is_remembered_in_a_file)
{
    AUTO(trust_free) struct trust *t = NULL, *again = NULL, *old = NULL;
    struct place p = {.dirfd = -1};
    struct stat st;
    struct err err = {0};

    place_init(&p);
    ck_assert_msg(run_in(&p, &t, &err) == 0, "%s", err.text);
    ck_assert_msg(trust_store(t, p.dirfd, &err) == 0, "%s", err.text);
    ck_assert_int_eq(fstatat(p.dirfd, TRUST_FILE, &st, 0), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_msg(run_in(&p, &again, &err) == 0, "%s", err.text);
    world_put_timestamp(&w, TIMESTAMP_VERSION - 1, MANIFEST_VERSION, TIME_KEYS);
    ck_assert_int_eq(run_in(&p, &old, &err), ERR_REFUSED);
    place_done(&p);
}
END_TEST

START_TEST(an_empty_stored_file_is_damage_and_not_nothing)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct place p = {.dirfd = -1};
    struct err err = {0};

    place_init(&p);
    ck_assert_int_eq(fs_write_atomic(p.dirfd, TRUST_FILE, "", 0, 0600, false, &err), 0);
    ck_assert_int_eq(run_in(&p, &t, &err), ERR_CORRUPT);
    place_done(&p);
}
END_TEST

START_TEST(a_root_file_that_others_may_write_is_refused)
{
    static const struct {
        mode_t mode;
        int result;
    } modes[] = {{0644, 0}, {0444, 0}, {0600, 0}, {0664, ERR_AUTH}, {0646, ERR_AUTH}};
    struct place p = {.dirfd = -1};
    size_t i;

    place_init(&p);
    for (i = 0; i < ARRAY_LEN(modes); i++) {
        AUTO(trust_free) struct trust *t = NULL;
        struct err err = {0};

        ck_assert_int_eq(chmod(p.root_file, modes[i].mode), 0);
        ck_assert_int_eq(trust_open(p.root_file, -1, w.now_unix_ms, &t, &err), modes[i].result);
    }
    place_done(&p);
}
END_TEST

START_TEST(a_root_file_is_a_file_that_is_there)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct place p = {.dirfd = -1};
    struct err err = {0};

    place_init(&p);
    ck_assert_int_eq(renameat(p.dirfd, "root.json", p.dirfd, "other.json"), 0);
    ck_assert_int_eq(trust_open(p.root_file, -1, w.now_unix_ms, &t, &err), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "put the root file"));
    ck_assert_int_eq(symlinkat("other.json", p.dirfd, "root.json"), 0);
    ck_assert_int_lt(trust_open(p.root_file, -1, w.now_unix_ms, &t, &err), 0);
    ck_assert_int_eq(unlinkat(p.dirfd, "root.json", 0), 0);
    ck_assert_int_eq(mkfifoat(p.dirfd, "root.json", 0600), 0);
    ck_assert_int_eq(trust_open(p.root_file, -1, w.now_unix_ms, &t, &err), ERR_INVALID);
    ck_assert_ptr_null(t);
    place_done(&p);
}
END_TEST

START_TEST(each_failure_has_a_code_of_the_service)
{
    ck_assert_str_eq(trust_wire_code(ERR_NETWORK), "ErrorDownloadManifest_d3");
    ck_assert_str_eq(trust_wire_code(ERR_NOT_FOUND), "ErrorDownloadManifest_d3");
    ck_assert_str_eq(trust_wire_code(ERR_PROTOCOL), "ErrorDownloadManifest_d4");
    ck_assert_str_eq(trust_wire_code(ERR_FULL), "ErrorDownloadManifest_d2");
    ck_assert_str_eq(trust_wire_code(ERR_AUTH), "ErrorDownloadManifest_d6");
    ck_assert_str_eq(trust_wire_code(ERR_INVALID), "ErrorDownloadManifest_d6");
}
END_TEST

static Suite *trust_suite(void)
{
    Suite *s = suite_create("trust");
    TCase *t = tcase_create("trust");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_good_source_is_believed);
    tcase_add_test(t, the_same_source_is_believed_again);
    tcase_add_test(t, nothing_is_told_or_kept_before_every_check_has_passed);
    tcase_add_test(t, after_a_failure_nothing_more_is_taken);
    tcase_add_test(t, roots_are_followed_one_by_one_and_the_chain_goes_on_where_it_was);
    tcase_add_test(t, an_expired_root_between_two_does_not_break_the_chain);
    tcase_add_test(t, all_root_keys_can_be_changed_when_old_and_new_sign);
    tcase_add_test(t, a_key_that_was_revoked_counts_no_longer);
    tcase_add_test(t, files_signed_for_two_roots_at_once_are_believed_under_both);
    tcase_add_loop_test(t, only_revoking_the_stolen_key_undoes_a_fast_forward, 0,
                        (int)ARRAY_LEN(recoveries));
    tcase_add_test(t, a_root_file_that_the_chain_came_through_takes_nothing_back);
    tcase_add_test(t, another_root_file_begins_anew_and_keeps_the_versions_of_keys_that_stay);
    tcase_add_test(t, a_machine_can_be_given_to_another_source);
    tcase_add_loop_test(t, is_believed_from_its_making_to_its_end, 0, (int)ARRAY_LEN(times));
    tcase_add_test(t, what_was_believed_is_remembered_in_a_file);
    tcase_add_test(t, an_empty_stored_file_is_damage_and_not_nothing);
    tcase_add_test(t, a_root_file_that_others_may_write_is_refused);
    tcase_add_test(t, a_root_file_is_a_file_that_is_there);
    tcase_add_test(t, each_failure_has_a_code_of_the_service);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(trust_suite());
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
