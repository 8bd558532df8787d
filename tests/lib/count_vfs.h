/* A SQLite VFS for tests, on top of the system's: counts syncs and writes, and makes the n-th fail,
 * as a full or dying disk would. Registered under its name, never the default. One thread. */
#ifndef SSMD_TESTS_COUNT_VFS_H
#define SSMD_TESTS_COUNT_VFS_H

#include <stdbool.h>
#include <stdint.h>

#define COUNT_VFS "count"

enum count_failure {
    COUNT_FULL,  /* ENOSPC: nothing of the write is done */
    COUNT_IO,    /* EIO: nothing is done */
    COUNT_SHORT, /* half of the write is done, then EIO */
};

struct count_vfs {
    /* counted since count_vfs_reset() */
    int64_t n_syncs;     /* of any file */
    int64_t n_wal_syncs; /* of write-ahead logs */
    int64_t n_writes;
    /* What fails: the n-th sync or write from the reset on (1 is the first, 0 none), and all after
     * it while `lasts`. */
    int64_t fail_sync_at, fail_write_at;
    bool lasts;
    enum count_failure failure;
    bool no_sync; /* counted, but not done: quicker, where no power is lost */
    bool no_shm;  /* as on a read-only mount: the -shm file cannot be made */
    /* Called before the n-th sync is done, if set: for power-loss tests that keep a picture of the
     * files. */
    void (*before_sync)(void *ctx, const char *path, int64_t n);
    void *ctx;
};
extern struct count_vfs count_vfs;

void count_vfs_register(void); /* as often as you like */
void count_vfs_reset(void);    /* all counters zero, nothing fails */

#endif
