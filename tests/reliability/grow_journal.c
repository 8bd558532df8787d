/* Lets the product's own journal live through many one-step commands, without a runner or a service
 * for them, and asks whether it still knows them.
 *
 *   grow_journal DIR N MIB [FIRST]  commands of the numbers FIRST (1) to N go through
 *                                   DIR/journal.db, with the retention of a node that keeps MIB
 *   grow_journal --ask DIR N        prints how many of the numbers 1 to N it does not know, by
 * their job's id or by their message's */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/lib/chronicle.h"
#include "tests/lib/count_vfs.h"

#define JOBS_PER_COMMIT 16 /* what the journal's small cache holds */
#define JOBS_AS_LARGE                                                                              \
    50000                  /* the last ones; of those before them their ids are left in the end    \
                            */
#define PAYLOAD_BYTES 1500 /* about what a command of one step takes */
#define JOBS_PER_ROUND (16 * JOBS_PER_COMMIT)
#define BOOT "6c1f2a70-5a3e-4b0e-8a54-1a4b0d3b9d1c"

static struct chronicle c = {.boot_id = BOOT,
                             .node = "mi-0123456789abcdef0",
                             .now = INT64_C(1714842447983),
                             .tick_ms = 5,
                             .reply_id_beginning = "a3c1c0de-7a0f-4c36-8f0b-"};

/* As the service makes them, but not at random; spread like random ones over the memory of ids, by
 * the digest that is kept there. */
static void name_job(int64_t n, char ret_id[FSM_ID_SIZE])
{
    (void)snprintf(ret_id, FSM_ID_SIZE, "2b196342-d7d4-436e-8f09-%012" PRIx64, (uint64_t)n);
}

static void run_job(int64_t n)
{
    static const char sha256[] = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    struct command_result fine = {
        .status = "Success", .outcome = "exited", .stdout_bytes = 6, .stdout_sha256 = sha256};
    struct fsm_instance inst;
    char id[FSM_ID_SIZE];

    name_job(n, id);
    chronicle_receive_command(&c, id, 1, &inst);
    CHRONICLE_MUST(c.j->ops->put_instance(c.j, &inst, e_));
    chronicle_step(&c, &inst, COMMAND_EV_ACCEPT, -1, NULL);
    chronicle_step(&c, &inst, COMMAND_EV_START, -1, NULL);
    chronicle_step(&c, &inst, COMMAND_EV_EXITED, COMMAND_FX_SPAWN, &fine);
    chronicle_report(&c, &inst);
    fsm_instance_done(&inst);
}

static void count_removed(void *ctx, const char *instance_id)
{
    (void)instance_id;
    ++*(int64_t *)ctx;
}

/* Rounds until one has nothing to do, as ssmd has them when jobs end. */
static void prune(const struct journal_retention *retention)
{
    int64_t n_removed;

    do {
        n_removed = 0;
        CHRONICLE_MUST(c.j->ops->prune(c.j, retention, 0, c.now, count_removed, &n_removed, e_));
    } while (n_removed > 0);
}

static void grow(int64_t first, int64_t n_jobs, int64_t mib)
{
    const struct journal_retention retention = journal_retention_of(mib << 20);
    int64_t n;

    for (n = first; n <= n_jobs; n++) {
        c.payload_bytes = n > n_jobs - JOBS_AS_LARGE ? PAYLOAD_BYTES : 0;
        if (n == first || n % JOBS_PER_COMMIT == 1)
            CHRONICLE_MUST(c.j->ops->begin(c.j, e_));
        run_job(n);
        if (n % JOBS_PER_COMMIT == 0 || n == n_jobs)
            CHRONICLE_MUST(c.j->ops->commit(c.j, e_));
        if (n % JOBS_PER_ROUND == 0 || n == n_jobs)
            prune(&retention);
    }
    CHRONICLE_MUST(c.j->ops->publish_head(c.j, e_));
}

/* Of the jobs whose ids stand in the lines of stdin. */
static int64_t ask(void)
{
    char id[FSM_ID_SIZE + 1], message_id[128];
    enum journal_known by_id, by_message;
    int64_t n_unknown = 0;

    while (fgets(id, sizeof(id), stdin) != NULL) {
        id[strcspn(id, "\n")] = '\0';
        chronicle_message_id(&c, id, message_id, sizeof(message_id));
        CHRONICLE_MUST(c.j->ops->find(c.j, NULL, id, &by_id, e_));
        CHRONICLE_MUST(c.j->ops->find(c.j, message_id, NULL, &by_message, e_));
        n_unknown += by_id == JOURNAL_UNKNOWN || by_message == JOURNAL_UNKNOWN ? 1 : 0;
    }
    return n_unknown;
}

static void open_journal(const char *dir)
{
    char path[4096], head_path[4096];
    struct journal_options o = {
        .path = path, .head_path = head_path, .boot_id = BOOT, .vfs = COUNT_VFS};

    count_vfs_register();
    count_vfs.no_sync = true; /* no power is lost here, and it takes a tenth of the time */
    (void)snprintf(path, sizeof(path), "%s/journal.db", dir);
    (void)snprintf(head_path, sizeof(head_path), "%s/ledger.head", dir);
    CHRONICLE_MUST(journal_open_sqlite(&o, &c.j, e_));
    CHRONICLE_MUST(c.j->ops->last_effect_id(c.j, &c.last_effect, e_));
}

int main(int argc, char **argv)
{
    int64_t n_jobs = 0, mib = 0, first = 1;

    if (argc == 3 && str_eq(argv[1], "--ask")) {
        open_journal(argv[2]);
        printf("%" PRId64 "\n", ask());
    } else if ((argc == 4 || argc == 5) && str_to_i64(argv[2], 1, INT32_MAX, &n_jobs) &&
               str_to_i64(argv[3], 1, INT32_MAX, &mib) &&
               (argc == 4 || str_to_i64(argv[4], 1, n_jobs, &first))) {
        open_journal(argv[1]);
        grow(first, n_jobs, mib);
    } else {
        (void)fprintf(stderr, "usage: grow_journal DIR N MIB [FIRST]\n"
                              "       grow_journal --ask DIR < ids\n");
        return 100;
    }
    journal_close(c.j);
    return EXIT_SUCCESS;
}
