/* The least that a command can cost on this machine, to set beside what it does cost: one fork,
 * exec and wait of `sh -c true`, and three synced SQLite commits, in the directory given. Prints
 * "<microseconds> <microseconds>" for each of N rounds: the process, the commits. */
#include <fcntl.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int run_true(void)
{
    char sh[] = "sh", c[] = "-c", command[] = "true";
    char *argv[] = {sh, c, command, NULL};
    pid_t pid;
    int status;

    return posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) == 0 &&
                   waitpid(pid, &status, 0) == pid
               ? 0
               : -1;
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 50, i, k;
    sqlite3 *db;

    if (argc < 2 || chdir(argv[1]) < 0 || sqlite3_open("floor.db", &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                     "CREATE TABLE IF NOT EXISTS t (x BLOB);",
                     NULL, NULL, NULL) != SQLITE_OK) {
        (void)fprintf(stderr, "usage: bench_floor DIRECTORY [ROUNDS]\n");
        return 100;
    }
    for (i = 0; i < rounds; i++) {
        long long start = now_us(), middle;

        if (run_true() < 0)
            return 111;
        middle = now_us();
        for (k = 0; k < 3; k++)
            if (sqlite3_exec(db, "BEGIN; INSERT INTO t VALUES (randomblob(2000)); COMMIT;", NULL,
                             NULL, NULL) != SQLITE_OK)
                return 111;
        (void)printf("%lld %lld\n", middle - start, now_us() - middle);
    }
    (void)sqlite3_close(db);
    return 0;
}
