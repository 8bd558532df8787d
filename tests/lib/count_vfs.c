/* A VFS that counts and fails. Every method it does not care about goes straight to the system's.
 */
#include "tests/lib/count_vfs.h"

#include <sqlite3.h>
#include <string.h>

struct count_vfs count_vfs;

struct file {
    sqlite3_file base;
    const char *path; /* owned by SQLite, as long as the file is open */
    bool is_wal;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *system_vfs;

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct file *)(void *)f)->real;
}

static bool is_time(int64_t n, int64_t at)
{
    return at > 0 && (n == at || (count_vfs.lasts && n > at));
}

static int file_close(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);

    return real->pMethods != NULL ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *bytes, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), bytes, n, at);
}

static int file_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
    sqlite3_file *real = real_of(f);

    if (is_time(++count_vfs.n_writes, count_vfs.fail_write_at)) {
        if (count_vfs.failure == COUNT_SHORT)
            (void)real->pMethods->xWrite(real, bytes, n / 2, at); /* fails anyhow */
        return count_vfs.failure == COUNT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    return real->pMethods->xWrite(real, bytes, n, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    const struct file *file = (const struct file *)(const void *)f;

    count_vfs.n_syncs++;
    if (file->is_wal)
        count_vfs.n_wal_syncs++;
    if (count_vfs.before_sync != NULL)
        count_vfs.before_sync(count_vfs.ctx, file->path, count_vfs.n_syncs);
    if (is_time(count_vfs.n_syncs, count_vfs.fail_sync_at))
        return count_vfs.failure == COUNT_FULL ? SQLITE_FULL : SQLITE_IOERR_FSYNC;
    return count_vfs.no_sync ? SQLITE_OK : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int file_lock(sqlite3_file *f, int lock)
{
    return real_of(f)->pMethods->xLock(real_of(f), lock);
}

static int file_unlock(sqlite3_file *f, int lock)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), lock);
}

static int file_reserved(sqlite3_file *f, int *out)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int sector_size(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    if (count_vfs.no_shm)
        return SQLITE_CANTOPEN;
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, out);
}

static int shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int shm_unmap(sqlite3_file *f, int remove)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no xFetch: every byte comes through xRead and xWrite */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                    int *out_flags)
{
    struct file *file = (struct file *)(void *)f;
    int r;

    (void)vfs;
    *file = (struct file){.path = name, .is_wal = (flags & SQLITE_OPEN_WAL) != 0};
    file->real = (sqlite3_file *)(void *)(file + 1);
    r = system_vfs->xOpen(system_vfs, name, file->real, flags, out_flags);
    file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
    return r;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    (void)vfs;
    return system_vfs->xDelete(system_vfs, name, sync_dir);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    (void)vfs;
    return system_vfs->xAccess(system_vfs, name, flags, out);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
    (void)vfs;
    return system_vfs->xFullPathname(system_vfs, name, n, out);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    return system_vfs->xRandomness(system_vfs, n, out);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return system_vfs->xSleep(system_vfs, us);
}

static int vfs_time(sqlite3_vfs *vfs, double *out)
{
    (void)vfs;
    return system_vfs->xCurrentTime(system_vfs, out);
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    return system_vfs->xGetLastError(system_vfs, n, out);
}

static int vfs_time64(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    return system_vfs->xCurrentTimeInt64(system_vfs, out);
}

static sqlite3_vfs counting = {
    .iVersion = 2,
    .zName = COUNT_VFS,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_path,
    .xRandomness = vfs_random,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_time,
    .xGetLastError = vfs_last_error,
    .xCurrentTimeInt64 = vfs_time64,
};

void count_vfs_register(void)
{
    if (system_vfs != NULL)
        return;
    system_vfs = sqlite3_vfs_find(NULL);
    counting.szOsFile = (int)sizeof(struct file) + system_vfs->szOsFile;
    counting.mxPathname = system_vfs->mxPathname;
    (void)sqlite3_vfs_register(&counting, 0); /* fails only when memory is short: open then does */
}

void count_vfs_reset(void)
{
    count_vfs = (struct count_vfs){0};
}
