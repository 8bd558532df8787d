/* Retention by age: by the time that the machine was up, whatever the wall clock says. */
#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/age.h"
#include "agent/job_dirs.h"
#include "agent/upkeep.h"
#include "base/str.h"
#include "engine_world.h"
#include "fsm/upload.h"

#define HOUR (INT64_C(3600) * 1000)
#define DAY (24 * HOUR)
#define TEN_YEARS (3650 * DAY)

/* ---- the marks ---- */

/* A small generator with a fixed seed: the walk is the same every time. */
static uint64_t random_state;

static int64_t below(int64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((random_state >> 33) % (uint64_t)n);
}

#define N_ROWS 6000

/* Years of jobs, reboots and rounds. No row is ever taken for older than it is, and none for much
 * younger. */
START_TEST(no_row_is_older_than_it_is_and_none_is_much_younger)
{
    static int64_t ended_at[N_ROWS + 1]; /* of each row, in lived time */
    static const int64_t ages[] = {HOUR, 14 * DAY, 365 * DAY};
    struct age a = {0};
    int64_t n = 0, lived = 0, up = 0, n_boots = 0, cutoff;
    char boot[BOOT_ID_SIZE] = "boot-0";
    size_t i;

    random_state = 42 + (uint64_t)_i;
    while (n < N_ROWS - 10) {
        int64_t step = 15 * 60 * 1000 + below(_i == 0 ? 1000 : DAY), jobs = below(4);

        for (; jobs > 0; jobs--)
            ended_at[++n] = lived;
        lived += step;
        up += step;
        age_advance(&a, boot, up);
        (void)age_mark(&a, n);
        if (below(50) == 0) { /* seen just before: nothing of it is lost */
            up = 0;
            (void)snprintf(boot, sizeof(boot), "boot-%" PRId64, ++n_boots);
        }
        for (i = 0; i < ARRAY_LEN(ages); i++) {
            cutoff = age_cutoff(&a, ages[i]);
            ck_assert(cutoff == 0 || lived - ended_at[cutoff] >= ages[i]);
            ck_assert(cutoff == n ||
                      lived - ended_at[cutoff + 1] <= ages[i] + ages[i] / 6 + 2 * DAY);
        }
        ck_assert_uint_lt(a.n_marks, AGE_MAX_MARKS);
    }
    ck_assert_int_eq(a.lived_ms, lived);
    ck_assert_int_eq(age_cutoff(&a, 0), 0);
}
END_TEST

START_TEST(what_is_written_is_read_back)
{
    AUTO(buf_done) struct buf text = {0};
    struct age a = {0}, back;
    int64_t n;
    struct err err;

    for (n = 1; n < 3000; n++) {
        age_advance(&a, "7c9e6679-7425-40de-944b-e07fc1f90ae7", n * HOUR);
        (void)age_mark(&a, n);
    }
    buf_init(&text, AGE_TEXT_MAX);
    age_format(&a, &text);
    ck_assert_int_eq(buf_error(&text, "age", &err), 0);
    ck_assert_int_eq(age_parse(&back, buf_str(&text), &err), 0);
    ck_assert_int_eq(back.lived_ms, a.lived_ms);
    ck_assert_int_eq(back.boottime_ms, a.boottime_ms);
    ck_assert_str_eq(back.boot_id, a.boot_id);
    ck_assert_uint_eq(back.n_marks, a.n_marks);
    ck_assert_int_eq(memcmp(back.marks, a.marks, sizeof(*a.marks) * a.n_marks), 0);
}
END_TEST

static const char *const damaged[] = {
    "",          "x",          "5",           "5 boot",        "5 boot x",      "-5 boot 1",
    "5 b 1 2",   "5 b 1 2:",   "5 b 1 :2",    "5 b 1 3:2 2:3", "5 b 1 2:3 3:2", "5 b 1 6:1",
    "5 b 1 a:b", "5 b 1 1:-1", "5 b 1 1:1 z",
};

START_TEST(what_is_damaged_makes_everything_young)
{
    struct age a;
    struct err err;

    ck_assert_int_eq(age_parse(&a, damaged[_i], &err), ERR_CORRUPT);
    ck_assert_int_eq(age_cutoff(&a, 1), 0);
}
END_TEST

/* ---- the rounds ---- */

static struct engine_world w;
static struct upkeep *upkeep;
static int64_t wall_ms, boottime_ms;

static int64_t get_wall(void *ctx)
{
    (void)ctx;
    return wall_ms;
}

static int64_t get_boottime(void *ctx)
{
    (void)ctx;
    return boottime_ms;
}

static const struct clock_source turned = {.wall_ms = get_wall, .boottime_ms = get_boottime};

static void open_upkeep(const char *boot_id)
{
    struct err err;

    ck_assert_int_eq(upkeep_new(&w.loop, w.journal, &w.config, &w.paths, boot_id, &upkeep, &err),
                     0);
}

static void close_upkeep(void)
{
    upkeep_stop(upkeep);
    engine_world_turns(&w, 3);
    upkeep_free(upkeep);
}

static void begin(void)
{
    wall_ms = INT64_C(1714842447000);
    boottime_ms = DAY;
    clock_set_source(&turned);
    engine_world_init(&w, NULL, NULL);
    w.config.log_retention_hours = 14 * 24;
    w.config.ledger_retention_days = 365;
    open_upkeep("boot-1");
}

static void end(void)
{
    close_upkeep();
    engine_world_done(&w);
    clock_set_source(NULL);
}

static bool has_ended(struct engine_world *world)
{
    return engine_world_is_idle(world);
}

static void run_job(int number)
{
    (void)engine_world_send(&w, number, 1, "exit 0");
    engine_world_until(&w, has_ended);
}

static bool is_at_rest(struct engine_world *world)
{
    (void)world;
    return !upkeep_is_working(upkeep);
}

static void round_of_retention(void)
{
    upkeep_prune(upkeep);
    engine_world_until(&w, is_at_rest);
}

static struct journal_counts counts(void)
{
    struct journal_counts c = {0};

    ck_assert_int_eq(w.journal->ops->counts(w.journal, &c, NULL), 0);
    return c;
}

static const int64_t jumps[] = {TEN_YEARS, -TEN_YEARS, 20 * DAY, -20 * DAY};

START_TEST(a_clock_that_jumps_lets_nothing_be_cut)
{
    run_job(1);
    round_of_retention();
    wall_ms += jumps[_i];
    round_of_retention();
    run_job(2); /* with a stamp of the wrong time */
    round_of_retention();
    wall_ms -= jumps[_i];
    boottime_ms += HOUR;
    round_of_retention();
    run_job(3);
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 3);
    ck_assert_int_eq(counts().n_ledger, 3);
}
END_TEST

START_TEST(what_is_really_old_is_cut_whatever_its_stamp)
{
    wall_ms += jumps[_i];
    run_job(1);
    wall_ms -= jumps[_i];
    round_of_retention();
    boottime_ms += 13 * DAY;
    run_job(2);
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 2);
    boottime_ms += 2 * DAY;
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 1);
    ck_assert_int_eq(counts().n_ledger, 2);
    boottime_ms += 366 * DAY;
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 0);
    ck_assert_int_eq(counts().n_ledger, 0);
}
END_TEST

START_TEST(age_goes_on_over_restarts_and_reboots)
{
    run_job(1);
    round_of_retention();
    close_upkeep();
    engine_world_restart(&w, "boot-1");
    open_upkeep("boot-1");
    boottime_ms += 10 * DAY; /* ssmd was away for most of them */
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 1);
    close_upkeep();
    engine_world_restart(&w, "boot-2");
    open_upkeep("boot-2");
    boottime_ms = 3 * DAY; /* of another boot */
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 1);
    boottime_ms = 5 * DAY;
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 0);
}
END_TEST

START_TEST(rounds_at_rest_commit_next_to_nothing)
{
    int64_t before;
    int i;

    run_job(1);
    round_of_retention();
    before = engine_world_commits(&w);
    for (i = 0; i < 96; i++) { /* a day of them */
        boottime_ms += HOUR / 4;
        round_of_retention();
    }
    ck_assert_int_le(engine_world_commits(&w) - before, 4);
}
END_TEST

/* ---- directories that are not to be kept ---- */

static size_t n_directories(void)
{
    DIR *dir = opendir(w.paths.jobs_dir);
    struct dirent *entry;
    size_t n = 0;

    if (dir == NULL) /* not made yet */
        return 0;
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

static const struct {
    const char *orchestration, *output;
    size_t n_left; /* of one that succeeds and one that fails */
} cleanups[] = {
    {"default", "default", 2},
    {"clean-success", "default", 1},
    {"clean-success-failed", "default", 0},
    {"default", "after-execution", 0},
    {"clean-success", "after-execution", 0},
    {"default", "after-upload", 2},
};

START_TEST(directories_of_reported_jobs_go_when_the_configuration_says_so)
{
    (void)str_copy(w.config.orchestration_cleanup, sizeof(w.config.orchestration_cleanup),
                   cleanups[_i].orchestration);
    (void)str_copy(w.config.plugin_output_cleanup, sizeof(w.config.plugin_output_cleanup),
                   cleanups[_i].output);
    run_job(1);
    (void)engine_world_send(&w, 2, 1, "exit 1");
    engine_world_until(&w, has_ended);
    ck_assert_uint_eq(n_directories(), 2);
    round_of_retention();
    ck_assert_uint_eq(n_directories(), cleanups[_i].n_left);
    ck_assert_int_eq(counts().n_ended, 2); /* the journal keeps what it knows */
}
END_TEST

/* Each job: its directory, its step's, the script and the exit record. The oldest go; what the
 * journal knows of them stays. */
START_TEST(of_many_files_the_oldest_jobs_go)
{
    struct job_dirs dirs = {0};
    struct err err;
    int64_t per_job;
    int i;

    w.config.retention_files = 100;
    run_job(1);
    round_of_retention();
    ck_assert_int_eq(job_dirs_measure(&dirs, w.paths.jobs_dir, &err), 0);
    ck_assert_uint_eq(dirs.n, 1);
    per_job = dirs.items[0].n_files;
    ck_assert_int_ge(per_job, 3);
    job_dirs_done(&dirs);
    for (i = 2; i * per_job <= 75; i++) {
        run_job(i);
        round_of_retention();
        ck_assert_uint_eq(n_directories(), (size_t)i);
    }
    run_job(i);
    round_of_retention();
    ck_assert_int_le((int64_t)n_directories() * per_job, 50);
    ck_assert_int_gt((int64_t)n_directories() * per_job, 50 - per_job);
    ck_assert_int_eq(counts().n_ended, i);
    ck_assert_int_eq(job_dirs_measure(&dirs, w.paths.jobs_dir, &err), 0);
    job_dirs_judge(&dirs, w.journal);
    for (i = 0; i < (int)dirs.n; i++) /* the newest are those that stayed */
        ck_assert_int_gt(dirs.items[i].settled, counts().ledger_end - (int64_t)dirs.n);
    job_dirs_done(&dirs);
}
END_TEST

START_TEST(a_job_with_much_output_takes_no_younger_one_with_it)
{
    int i;

    w.config.retention_mib = 16;
    run_job(1);
    (void)engine_world_send(&w, 2, 1, "head -c 24000000 /dev/zero");
    engine_world_until(&w, has_ended);
    for (i = 3; i < 10; i++)
        run_job(i);
    round_of_retention();
    ck_assert_int_eq(counts().n_ended, 7);
    ck_assert_uint_eq(n_directories(), 7);
}
END_TEST

static void note_ends(void *ctx, int64_t n_files)
{
    (void)ctx;
    upkeep_note_end(upkeep, n_files);
}

static bool ask_upkeep(void *ctx, int64_t n_open, int64_t n_more)
{
    (void)ctx;
    return upkeep_may_begin(upkeep, n_open, n_more);
}

static void look_again(void *ctx)
{
    engine_look_again(((struct engine_world *)ctx)->engine);
}

static int64_t most_kept;

/* Asked in each turn of the loop: how many files finished and reported jobs have just now. */
static bool has_ended_and_was_counted(struct engine_world *world)
{
    struct job_dirs dirs = {0};
    int64_t n_settled, n_others;
    struct err err;

    ck_assert_int_eq(job_dirs_measure(&dirs, world->paths.jobs_dir, &err), 0);
    job_dirs_judge(&dirs, world->journal);
    job_dirs_files(&dirs, &n_settled, &n_others);
    job_dirs_done(&dirs);
    most_kept = n_settled > most_kept ? n_settled : most_kept;
    return engine_world_is_idle(world);
}

#define N_BURST 60

static const char *const bursts[] = {"exit 0", "echo out; echo err >&2"};

START_TEST(a_burst_of_ends_never_passes_the_limit_of_files)
{
    int i;

    w.config.retention_files = 100;
    w.config.command_workers = 5;
    w.ended = note_ends;
    w.may_begin = ask_upkeep;
    upkeep_tell_room(upkeep, look_again, &w);
    most_kept = 0;
    for (i = 1; i <= N_BURST; i++)
        (void)engine_world_send(&w, i, 1, bursts[_i]);
    engine_world_until(&w, has_ended_and_was_counted);
    ck_assert_int_eq(counts().n_ended, N_BURST);
    ck_assert_int_gt(most_kept, 20);
    ck_assert_int_le(most_kept, 100);
}
END_TEST

/* What is wanted at once is not hindered by a limit that it cannot keep. */
START_TEST(a_limit_that_cannot_be_held_holds_up_nobody)
{
    w.config.retention_files = 100;
    w.config.command_workers = 5;
    run_job(1);
    round_of_retention();
    upkeep_note_end(upkeep, 90);
    ck_assert(!upkeep_may_begin(upkeep, 30, 7));
    ck_assert(upkeep_may_begin(upkeep, 95, 7));
    w.config.command_workers = 8;
    ck_assert(upkeep_may_begin(upkeep, 30, 7));
    engine_world_until(&w, is_at_rest);
    ck_assert_uint_eq(n_directories(), 1);
}
END_TEST

/* The directories are there, and cannot be removed: through a link nothing is. */
START_TEST(what_cannot_be_removed_holds_up_nobody)
{
    char aside[PATH_MAX + 8];
    int i;

    w.config.retention_files = 100;
    for (i = 1; i <= 10; i++)
        run_job(i);
    (void)snprintf(aside, sizeof(aside), "%s.aside", w.paths.jobs_dir);
    ck_assert_int_eq(rename(w.paths.jobs_dir, aside), 0);
    ck_assert_int_eq(symlink(aside, w.paths.jobs_dir), 0);
    upkeep_note_end(upkeep, 70);
    for (i = 0; !upkeep_may_begin(upkeep, 70, 7); i++) {
        ck_assert_int_lt(i, 10);
        ck_assert(upkeep_is_working(upkeep)); /* whose end makes it ask again */
        engine_world_until(&w, is_at_rest);
    }
    ck_assert_uint_eq(n_directories(), 10);
    ck_assert_int_eq(unlink(w.paths.jobs_dir), 0);
    ck_assert_int_eq(rename(aside, w.paths.jobs_dir), 0);
    upkeep_note_end(upkeep, 7);
    engine_world_until(&w, is_at_rest);
    round_of_retention();
    ck_assert_int_eq(upkeep_may_begin(upkeep, 70, 7), true);
}
END_TEST

static size_t n_wanted;

static bool are_so_many_left(struct engine_world *world)
{
    (void)world;
    return n_directories() == n_wanted && !upkeep_is_working(upkeep);
}

START_TEST(the_end_of_a_job_is_enough_to_tidy)
{
    (void)str_copy(w.config.orchestration_cleanup, sizeof(w.config.orchestration_cleanup),
                   "clean-success");
    run_job(1);
    upkeep_note_end(upkeep, 5);
    n_wanted = 0;
    engine_world_until(&w, are_so_many_left);
}
END_TEST

static bool has_run(struct engine_world *world)
{
    return engine_world_file(world, "mark")[0] != '\0' && engine_world_processes(world) == 0;
}

START_TEST(what_the_service_has_not_taken_stays)
{
    char script[128];

    (void)snprintf(script, sizeof(script), "echo ran > %s/mark", w.dir);
    (void)str_copy(w.config.orchestration_cleanup, sizeof(w.config.orchestration_cleanup),
                   "clean-success");
    (void)err_set(&w.answer, ERR_NETWORK, "away");
    (void)engine_world_send(&w, 1, 1, script);
    engine_world_until(&w, has_run);
    round_of_retention();
    ck_assert_uint_eq(n_directories(), 1);
}
END_TEST

/* An upload of the job that is under way, put into the journal by hand. */
static void put_upload(const char *job_id)
{
    struct fsm_instance inst;
    char id[FSM_ID_SIZE];
    struct err err = {0};

    ck_assert(upload_make_id(job_id, 0, id));
    ck_assert_int_eq(fsm_instance_init(&inst, &upload_machine, id, 0, wall_ms, &err), 0);
    (void)str_copy(upload_of(&inst)->job, sizeof(upload_of(&inst)->job), job_id);
    ck_assert_int_eq(w.journal->ops->begin(w.journal, &err), 0);
    ck_assert_msg(w.journal->ops->put_instance(w.journal, &inst, &err) == 0, "%s", err.text);
    ck_assert_int_eq(w.journal->ops->commit(w.journal, &err), 0);
    fsm_instance_done(&inst);
}

START_TEST(output_on_its_way_stays_until_it_is_there)
{
    DIR *dir;
    struct dirent *entry;

    (void)str_copy(w.config.plugin_output_cleanup, sizeof(w.config.plugin_output_cleanup),
                   "after-execution");
    run_job(1);
    dir = opendir(w.paths.jobs_dir);
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            put_upload(entry->d_name);
    (void)closedir(dir);
    round_of_retention();
    ck_assert_uint_eq(n_directories(), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("upkeep");
    TCase *marks = tcase_create("marks"), *rounds = tcase_create("rounds");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(marks, no_row_is_older_than_it_is_and_none_is_much_younger, 0, 3);
    tcase_add_test(marks, what_is_written_is_read_back);
    tcase_add_loop_test(marks, what_is_damaged_makes_everything_young, 0, ARRAY_LEN(damaged));
    suite_add_tcase(s, marks);
    tcase_add_checked_fixture(rounds, begin, end);
    tcase_add_test(rounds, of_many_files_the_oldest_jobs_go);
    tcase_add_loop_test(rounds, a_burst_of_ends_never_passes_the_limit_of_files, 0,
                        ARRAY_LEN(bursts));
    tcase_add_test(rounds, a_limit_that_cannot_be_held_holds_up_nobody);
    tcase_add_test(rounds, what_cannot_be_removed_holds_up_nobody);
    tcase_add_test(rounds, a_job_with_much_output_takes_no_younger_one_with_it);
    tcase_add_loop_test(rounds, a_clock_that_jumps_lets_nothing_be_cut, 0, ARRAY_LEN(jumps));
    tcase_add_loop_test(rounds, what_is_really_old_is_cut_whatever_its_stamp, 0, ARRAY_LEN(jumps));
    tcase_add_test(rounds, age_goes_on_over_restarts_and_reboots);
    tcase_add_test(rounds, rounds_at_rest_commit_next_to_nothing);
    tcase_add_loop_test(rounds, directories_of_reported_jobs_go_when_the_configuration_says_so, 0,
                        ARRAY_LEN(cleanups));
    tcase_add_test(rounds, the_end_of_a_job_is_enough_to_tidy);
    tcase_add_test(rounds, what_the_service_has_not_taken_stays);
    tcase_add_test(rounds, output_on_its_way_stays_until_it_is_there);
    suite_add_tcase(s, rounds);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
