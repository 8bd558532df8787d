/* The VFS that joins writes to the write-ahead log. Files of other kinds are the base's own. */
#include "journal/joined_internal.h"

#include <stdio.h>
#include <string.h>

/* Most commits of a command fit; a larger one takes a few writes more. */
#define JOINED_BYTES 65536

struct joined_file {
    sqlite3_file base;
    char *bytes; /* owned: [start, start + n) of the file, not handed on yet */
    sqlite3_int64 start;
    int n;
    sqlite3_file *real; /* behind this struct, in the room that SQLite gave us */
};

static struct joined_file *joined_of(sqlite3_file *file)
{
    return (struct joined_file *)(void *)file;
}

/* What cannot be written is gone, as if SQLite had met the failure itself: the transaction that it
 * belongs to can only be rolled back. */
static int hand_on(struct joined_file *f)
{
    int n = f->n;

    f->n = 0;
    return n == 0 ? SQLITE_OK : f->real->pMethods->xWrite(f->real, f->bytes, n, f->start);
}

static int x_close(sqlite3_file *file)
{
    struct joined_file *f = joined_of(file);
    int r = hand_on(f), closed = f->real->pMethods->xClose(f->real);

    sqlite3_free(f->bytes);
    return r == SQLITE_OK ? closed : r;
}

static int x_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
    struct joined_file *f = joined_of(file);
    int r = hand_on(f);

    return r != SQLITE_OK ? r : f->real->pMethods->xRead(f->real, to, n, at);
}

static int x_write(sqlite3_file *file, const void *from, int n, sqlite3_int64 at)
{
    struct joined_file *f = joined_of(file);
    int r = SQLITE_OK;

    if (at != f->start + f->n || n > JOINED_BYTES - f->n)
        r = hand_on(f);
    if (r != SQLITE_OK)
        return r;
    if (n > JOINED_BYTES)
        return f->real->pMethods->xWrite(f->real, from, n, at);
    if (f->n == 0)
        f->start = at;
    memcpy(f->bytes + f->n, from, (size_t)n);
    f->n += n;
    return SQLITE_OK;
}

static int x_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct joined_file *f = joined_of(file);
    int r = hand_on(f);

    return r != SQLITE_OK ? r : f->real->pMethods->xTruncate(f->real, size);
}

static int x_sync(sqlite3_file *file, int flags)
{
    struct joined_file *f = joined_of(file);
    int r = hand_on(f);

    return r != SQLITE_OK ? r : f->real->pMethods->xSync(f->real, flags);
}

static int x_file_size(sqlite3_file *file, sqlite3_int64 *ret_size)
{
    struct joined_file *f = joined_of(file);
    int r = hand_on(f);

    return r != SQLITE_OK ? r : f->real->pMethods->xFileSize(f->real, ret_size);
}

static int x_lock(sqlite3_file *file, int level)
{
    struct joined_file *f = joined_of(file);

    return f->real->pMethods->xLock(f->real, level);
}

static int x_unlock(sqlite3_file *file, int level)
{
    struct joined_file *f = joined_of(file);

    return f->real->pMethods->xUnlock(f->real, level);
}

static int x_check_reserved(sqlite3_file *file, int *ret_is)
{
    struct joined_file *f = joined_of(file);

    return f->real->pMethods->xCheckReservedLock(f->real, ret_is);
}

static int x_control(sqlite3_file *file, int op, void *arg)
{
    struct joined_file *f = joined_of(file);
    int r = hand_on(f);

    return r != SQLITE_OK ? r : f->real->pMethods->xFileControl(f->real, op, arg);
}

static int x_sector_size(sqlite3_file *file)
{
    struct joined_file *f = joined_of(file);

    return f->real->pMethods->xSectorSize(f->real);
}

static int x_characteristics(sqlite3_file *file)
{
    struct joined_file *f = joined_of(file);

    return f->real->pMethods->xDeviceCharacteristics(f->real);
}

/* Of version 1: a log has no shared memory and is never mapped. */
static const sqlite3_io_methods joined_methods = {
    .iVersion = 1,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_file_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_check_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector_size,
    .xDeviceCharacteristics = x_characteristics,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    const struct joined_vfs *v = vfs->pAppData;
    struct joined_file *f = joined_of(file);
    int r;

    if ((flags & SQLITE_OPEN_WAL) == 0)
        return v->base->xOpen(v->base, name, file, flags, ret_flags);
    *f = (struct joined_file){.real = (sqlite3_file *)(void *)(f + 1)};
    f->bytes = sqlite3_malloc(JOINED_BYTES);
    if (f->bytes == NULL)
        return SQLITE_NOMEM; /* pMethods is NULL: nothing is closed */
    r = v->base->xOpen(v->base, name, f->real, flags, ret_flags);
    if (r != SQLITE_OK) {
        if (f->real->pMethods != NULL)
            (void)f->real->pMethods->xClose(f->real); /* it failed already */
        sqlite3_free(f->bytes);
        return r;
    }
    f->base.pMethods = &joined_methods;
    return SQLITE_OK;
}

static int x_delete(sqlite3_vfs *vfs, const char *name, int is_synced)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xDelete(v->base, name, is_synced);
}

static int x_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_is)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xAccess(v->base, name, flags, ret_is);
}

static int x_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xFullPathname(v->base, name, size, ret_path);
}

static int x_randomness(sqlite3_vfs *vfs, int n, char *ret_bytes)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xRandomness(v->base, n, ret_bytes);
}

static int x_sleep(sqlite3_vfs *vfs, int microseconds)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xSleep(v->base, microseconds);
}

static int x_time(sqlite3_vfs *vfs, double *ret_days)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xCurrentTime(v->base, ret_days);
}

static int x_last_error(sqlite3_vfs *vfs, int size, char *ret_text)
{
    const struct joined_vfs *v = vfs->pAppData;

    return v->base->xGetLastError(v->base, size, ret_text);
}

int joined_init(struct joined_vfs *v, const char *base, struct err *err)
{
    int r = sqlite3_initialize(); /* or a want of memory would look like one of VFSs */

    *v = (struct joined_vfs){0};
    if (r != SQLITE_OK)
        return err_set(err, r == SQLITE_NOMEM ? ERR_NOMEM : ERR_IO, "begin with SQLite: %s",
                       sqlite3_errstr(r));
    v->base = sqlite3_vfs_find(base);
    if (v->base == NULL)
        return err_set(err, ERR_NOT_FOUND, "SQLite has no VFS \"%s\"", base != NULL ? base : "");
    (void)snprintf(v->name, sizeof(v->name), "ssmd-joined-%p", (void *)v); /* fits; its own */
    v->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct joined_file) + v->base->szOsFile,
        .mxPathname = v->base->mxPathname,
        .zName = v->name,
        .pAppData = v,
        .xOpen = x_open,
        .xDelete = x_delete,
        .xAccess = x_access,
        .xFullPathname = x_full_path,
        .xRandomness = x_randomness,
        .xSleep = x_sleep,
        .xCurrentTime = x_time,
        .xGetLastError = x_last_error,
    };
    if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
        v->base = NULL;
        return err_set(err, ERR_NOMEM, "register a VFS with SQLite: out of memory");
    }
    return 0;
}

void joined_done(struct joined_vfs *v)
{
    if (v->base != NULL)
        (void)sqlite3_vfs_unregister(&v->vfs); /* it is there */
    v->base = NULL;
}
