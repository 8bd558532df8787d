/* fsync and fdatasync fail: what the next call finds there is synced by it, whatever the one before
 * has left. Both are this program's own, for SQLite too. */
#include "journal_lib.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define MAX_SEEN 256

static int countdown;       /* the sync that fails, once; 0: none */
static mode_t failing_kind; /* all syncs of this kind of file fail (S_IFDIR), or 0 */
static bool has_hit;
static ino_t synced[MAX_SEEN]; /* inodes of files, and of what directories that were synced held */
static size_t n_synced;

static void note(ino_t ino)
{
    ck_assert_uint_lt(n_synced, MAX_SEEN);
    synced[n_synced++] = ino;
}

static bool is_synced(const char *path)
{
    struct stat st;
    size_t i;

    ck_assert_int_eq(stat(path, &st), 0);
    for (i = 0; i < n_synced; i++)
        if (synced[i] == st.st_ino)
            return true;
    return false;
}

static int sync_fd(int fd)
{
    static const char *const names[] = {"a", "b", "c"};
    struct stat st, child;
    size_t i;

    if (fstat(fd, &st) < 0)
        return -1;
    if ((countdown > 0 && --countdown == 0) || (st.st_mode & S_IFMT) == failing_kind) {
        has_hit = true;
        errno = EIO;
        return -1;
    }
    note(st.st_ino);
    for (i = 0; S_ISDIR(st.st_mode) && i < ARRAY_LEN(names); i++)
        if (fstatat(fd, names[i], &child, 0) == 0)
            note(child.st_ino);
    return 0;
}

#define OVER_LIBC __attribute__((visibility("default"))) /* for SQLite's library too */

OVER_LIBC int fsync(int fd)
{
    return sync_fd(fd);
}

OVER_LIBC int fdatasync(int fd)
{
    return sync_fd(fd);
}

static void fail_at(int n)
{
    countdown = n;
    has_hit = false;
    n_synced = 0;
}

static bool stop_failing(void)
{
    countdown = 0;
    failing_kind = 0;
    return has_hit;
}

/* ---- directories ---- */

START_TEST(a_path_is_synced_whole_whichever_sync_failed_before)
{
    char root[] = "/tmp/ssmd-syncs.XXXXXX", path[64], part[64];
    struct err err;
    int fd, n, r;
    size_t i;

    ck_assert_ptr_nonnull(mkdtemp(root));
    (void)snprintf(path, sizeof(path), "%s/a/b/c", root);
    for (n = 1;; n++) {
        fail_at(n);
        r = fs_make_path(path, &fd, &err);
        if (!stop_failing())
            break;
        ck_assert_int_eq(r, ERR_IO);
        ck_assert_int_eq(fs_make_path(path, &fd, &err), 0);
        (void)close(fd);
        for (i = strlen(root) + 2; i <= strlen(path); i += 2) {
            (void)snprintf(part, sizeof(part), "%.*s", (int)i, path);
            ck_assert_msg(is_synced(part), "sync %d failed: the name of %s was not synced", n,
                          part);
        }
        ck_assert_int_eq(fs_remove_tree(AT_FDCWD, path, &err), 0);
        (void)snprintf(part, sizeof(part), "%s/a", root);
        ck_assert_int_eq(fs_remove_tree(AT_FDCWD, part, &err), 0);
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(n, 3);
    (void)close(fd);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}
END_TEST

/* ---- the journal ---- */

static int put_one(struct world *w, const char *value, struct err *err)
{
    int r = w->j->ops->begin(w->j, err);

    if (r == 0)
        r = w->j->ops->put_fact(w->j, "key", value, err);
    if (r == 0)
        r = w->j->ops->commit(w->j, err);
    if (r < 0)
        w->j->ops->rollback(w->j);
    return r;
}

/* A journal whose log of writes ahead was not synced, as a process leaves it that ends then. */
static void leave_unsynced(struct world *w)
{
    struct err err;

    ck_assert_int_eq(put_one(w, "first", &err), 0);
    fail_at(1);
    ck_assert_int_eq(put_one(w, "second", &err), ERR_IO);
    ck_assert(stop_failing());
    journal_close(w->j);
    w->j = NULL;
}

START_TEST(what_an_open_reads_of_the_log_is_synced)
{
    char log[PATH_MAX + 24];
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    leave_unsynced(&w);
    (void)snprintf(log, sizeof(log), "%s-wal", w.path);
    fail_at(0);
    OK(world_open(&w, e_));
    ck_assert(is_synced(log));
    journal_close(w.j);
    OK(world_open(&w, e_));
    leave_unsynced(&w);
    fail_at(1); /* of the log, when it is written anew */
    ck_assert_int_eq(world_open(&w, &err), ERR_IO);
    ck_assert(stop_failing());
    OK(world_open(&w, e_));
    world_done(&w);
}
END_TEST

START_TEST(what_is_read_after_a_failed_commit_is_synced)
{
    char log[PATH_MAX + 24];
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    ck_assert_int_eq(put_one(&w, "first", &err), 0);
    fail_at(1);
    ck_assert_int_eq(put_one(&w, "second", &err), ERR_IO);
    ck_assert(stop_failing());
    ck_assert_int_lt(put_one(&w, "third", &err), 0); /* not before it was read again */
    (void)snprintf(log, sizeof(log), "%s-wal", w.path);
    fail_at(0);
    OK(w.j->ops->revive(w.j, e_));
    ck_assert(is_synced(log));
    ck_assert_int_eq(put_one(&w, "third", &err), 0);
    world_done(&w);
}
END_TEST

START_TEST(a_journal_whose_names_do_not_last_is_not_opened)
{
    struct world w;
    struct err err;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    w.j = NULL;
    fail_at(0);
    failing_kind = S_IFDIR;
    ck_assert_int_eq(world_open(&w, &err), ERR_IO);
    ck_assert(stop_failing());
    OK(world_open(&w, e_));
    world_done(&w);
}
END_TEST

START_TEST(a_new_journal_is_whole_or_not_there)
{
    struct world w;
    struct err err;
    struct stat st;
    int n, r;

    world_init(&w, JOURNAL_SQLITE);
    journal_close(w.j);
    for (n = 1;; n++) {
        w.j = NULL;
        world_shell(&w, "rm -f %s*", w.path);
        fail_at(n);
        r = world_open(&w, &err);
        if (!stop_failing())
            break;
        if (r == 0)
            journal_close(w.j); /* one that SQLite can do without */
        else
            ck_assert_int_eq(r, ERR_IO);
        if (stat(w.path, &st) == 0) {
            ck_assert_int_gt((int)st.st_size, 4096);
            ck_assert_msg(is_synced(w.path), "sync %d failed: %s is there", n, w.path);
        }
        OK(world_open(&w, e_));
        journal_close(w.j);
    }
    ck_assert_int_eq(r, 0);
    ck_assert_int_gt(n, 5);
    world_done(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("failed syncs");
    TCase *t = tcase_create("syncs");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_path_is_synced_whole_whichever_sync_failed_before);
    tcase_add_test(t, what_an_open_reads_of_the_log_is_synced);
    tcase_add_test(t, what_is_read_after_a_failed_commit_is_synced);
    tcase_add_test(t, a_journal_whose_names_do_not_last_is_not_opened);
    tcase_add_test(t, a_new_journal_is_whole_or_not_there);
    suite_add_tcase(s, t);
    runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
