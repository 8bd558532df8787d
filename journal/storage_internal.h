/* The files of a journal, below SQLite: whose they are, who may write (one), and the space kept in
 * reserve. One thread.
 *
 * The reserve file (<journal without .db>.reserve, 8 MiB of real blocks) is there for the day the
 * disk is full: given up by revive, or by an open that finds no room, it leaves room for running
 * commands to record their ends. It is filled again by upkeep once there is twice its size to
 * spare. Its lock is what makes a second writer fail; it is a file of its own because closing any
 * descriptor of the database would drop SQLite's locks. */
#ifndef SSMD_JOURNAL_STORAGE_INTERNAL_H
#define SSMD_JOURNAL_STORAGE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"

#define STORAGE_RESERVE_BYTES (8 << 20)

struct storage {
    int dir_fd;     /* of the journal's directory */
    int reserve_fd; /* locked while the journal is open */
    bool has_reserve;
    char name[256];   /* of the database in its directory */
    struct stat seen; /* of the database when it was opened */
};

/* Check the directory (ours, writable by nobody else) and the files in it, and take the lock.
 * Errors: ERR_STATE (not ours), ERR_BUSY (another writer), ERR_NOT_FOUND (no directory), ERR_IO,
 * ERR_FULL. End with storage_done(). */
int storage_init(struct storage *s, const char *path, struct err *err) MUST_CHECK;
void storage_done(struct storage *s);

/* A new database is made under another name, <database>.new, and gets its own when it is whole and
 * synced: one that a loss of power tears in its first moments would be called damaged, and somebody
 * would have to look. storage_is_new(): there is none, or nothing is in it. */
#define STORAGE_NEW ".new"
bool storage_is_new(const struct storage *s);
int storage_begin_new(const struct storage *s, struct err *err) MUST_CHECK; /* empty, mode 0600 */
int storage_end_new(const struct storage *s, struct err *err) MUST_CHECK;   /* nobody has it open */

/* Remember which file the database is; whether its name still stands for that file. Somebody may
 * have removed it or put another one in its place: what is written then is written to nowhere. */
int storage_remember(struct storage *s, struct err *err) MUST_CHECK;
int storage_is_same(const struct storage *s, struct err *err) MUST_CHECK;

/* The log of writes ahead, which nobody of ours has open, is written over with itself and synced.
 * After a sync of it that failed, in this process or in one before, it may be whole in the page
 * cache and have a hole on the disk: what the kernel could not write it calls clean. Nothing may be
 * believed, or copied into the database, that a loss of power can take away again. ERR_IO,
 * ERR_FULL. */
int storage_renew_log(const struct storage *s, struct err *err) MUST_CHECK;
/* On btrfs, whose pages are copied when they are written: the file that SQLite shares with readers
 * through its memory is made as one that is written in place. Where a page of it can have no copy,
 * on a full disk, who writes is ended by SIGBUS. Before SQLite opens the database; one that is
 * there stays as it is, and not having it is no error. */
void storage_prepare_shared(const struct storage *s);
/* The names of the journal's files last. SQLite syncs the directory of a new log, and does not look
 * what came of it. */
int storage_sync_names(const struct storage *s, struct err *err) MUST_CHECK;

/* Fill the reserve if there is room for it. Not having it is no error. */
void storage_fill_reserve(struct storage *s);
/* Is it there, or, where the file system cannot reserve, as much free space? Fills it first. */
bool storage_has_room(struct storage *s);
/* Did what failed with `code` lack room? SQLite does not always say so: where it cannot make its
 * shared memory it says that there is none. */
bool storage_is_full(const struct storage *s, int code);
void storage_release_reserve(struct storage *s);

/* Bytes of the database and its write-ahead log; 0 for what is not there. */
int64_t storage_size(const struct storage *s);

#endif
