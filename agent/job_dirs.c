/* Directories of jobs, measured and chosen. */
#include "agent/job_dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "fsm/command.h"

#define MAX_DEPTH 4
#define MAX_DIRS 16384 /* of one round; the rest is for the next */
#define MAX_ASKED 300  /* directories that the journal is asked for in one turn of the loop */

/* ---- thread pool ---- */

static void measure_tree(int dirfd, const char *name, int depth, struct job_dir *sum)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct stat st;

    if (dir == NULL) {
        if (fd >= 0)
            (void)close(fd); /* nothing was written through it */
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, "..") ||
            fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        sum->bytes += (int64_t)st.st_blocks * 512;
        sum->n_files++;
        if (S_ISDIR(st.st_mode) && depth > 0)
            measure_tree(fd, entry->d_name, depth - 1, sum);
    }
    (void)closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct job_dir *)a)->name, ((const struct job_dir *)b)->name);
}

static struct job_dir *find(const struct job_dirs *d, const char *name)
{
    struct job_dir key;

    if (d->n == 0 || !str_copy(key.name, sizeof(key.name), name))
        return NULL;
    return bsearch(&key, d->items, d->n, sizeof(*d->items), by_name);
}

static int add(struct job_dirs *d, size_t *cap, const struct job_dir *item, struct err *err)
{
    if (d->n == *cap) {
        size_t more = *cap == 0 ? 64 : 2 * *cap;
        struct job_dir *p = realloc(d->items, more * sizeof(*p));

        if (p == NULL)
            return err_set(err, ERR_NOMEM, "job directories: out of memory");
        d->items = p;
        *cap = more;
    }
    d->items[d->n++] = *item;
    return 0;
}

static int measure(const struct job_dirs *before, DIR *dir, struct job_dirs *ret, struct err *err)
{
    struct dirent *entry;
    struct stat st;
    size_t cap = 0;
    int r = 0;

    while (r == 0 && (entry = readdir(dir)) != NULL) {
        struct job_dir item = {.n_files = 1};
        const struct job_dir *known = find(before, entry->d_name);

        if (known != NULL && known->settled > 0) { /* it does not change any more */
            item = *known;
        } else if (!str_is_safe_name(entry->d_name, sizeof(item.name) - 1) ||
                   fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            continue;
        } else {
            (void)str_copy(item.name, sizeof(item.name), entry->d_name); /* fits: asked above */
            item.bytes = (int64_t)st.st_blocks * 512;
            measure_tree(dirfd(dir), entry->d_name, MAX_DEPTH, &item);
        }
        if (ret->n == MAX_DIRS)
            break;
        r = add(ret, &cap, &item, err);
    }
    return r;
}

static void add_up_parts(struct job_dirs *d)
{
    size_t i;

    for (i = 0; i < d->n; i++)
        d->items[i].parts_bytes = 0;
    for (i = 0; i < d->n; i++) {
        const char *root_id = command_root_id(d->items[i].name);
        struct job_dir *root = root_id != d->items[i].name ? find(d, root_id) : NULL;

        if (root != NULL)
            root->parts_bytes += d->items[i].bytes;
    }
}

int job_dirs_measure(struct job_dirs *d, const char *path, struct err *err)
{
    struct job_dirs now = {0};
    DIR *dir = opendir(path);
    int r;

    if (dir == NULL) { /* no job has had one yet */
        job_dirs_done(d);
        return 0;
    }
    r = measure(d, dir, &now, err);
    (void)closedir(dir);
    if (r < 0) {
        job_dirs_done(&now);
        return r;
    }
    if (now.n > 0)
        qsort(now.items, now.n, sizeof(*now.items), by_name);
    add_up_parts(&now);
    now.turn = d->turn;
    job_dirs_done(d);
    *d = now;
    return 0;
}

int64_t job_dirs_there(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int64_t n = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

int job_dirs_remove(struct job_dirs *d, const char *path, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r = fs_open_dir(AT_FDCWD, path, &fd, err);
    size_t i;

    if (r < 0)
        return r;
    for (i = 0; i < d->n; i++) {
        struct err why;
        int rc = d->items[i].is_doomed ? fs_remove_tree(fd, d->items[i].name, &why) : 0;

        if (rc < 0) {
            *err = why;
            r = rc;
        }
    }
    return r;
}

void job_dirs_done(struct job_dirs *d)
{
    free(d->items);
    *d = (struct job_dirs){0};
}

/* ---- loop ---- */

/* The journal vouches that it ended and was removed: a directory that the journal has never heard
 * of stays, because it may belong to work that runs under a journal that was moved away. A nested
 * document is settled with the whole that it is part of. */
static bool judge(struct job_dir *dir, struct journal *journal)
{
    const char *root_id = command_root_id(dir->name);
    enum journal_known known;
    int64_t n = 0, n_root = 0;
    struct err err;

    if (journal->ops->find(journal, NULL, dir->name, &known, &err) < 0)
        return false; /* it stays; a later round asks again */
    if (known == JOURNAL_LEDGERED)
        dir->is_doomed = true;
    else if (known == JOURNAL_ENDED &&
             journal->ops->get_settled(journal, dir->name, &n, &err) == 0 && n > 0 &&
             journal->ops->get_settled(journal, root_id, &n_root, &err) == 0)
        dir->settled = n_root;
    return dir->is_doomed || dir->settled > 0;
}

void job_dirs_judge(struct job_dirs *d, struct journal *journal)
{
    size_t i, n_asked = 0, n_found = 0;

    for (i = 0; i < d->n && n_asked < MAX_ASKED; i++) {
        struct job_dir *dir = &d->items[(d->turn + i) % d->n];

        if (dir->settled > 0)
            continue;
        n_asked++;
        n_found += judge(dir, journal) ? 1 : 0;
    }
    d->turn += i;
    d->has_more = n_asked == MAX_ASKED && n_found > 0;
}

void job_dirs_doom(struct job_dirs *d, const char *job_id)
{
    struct job_dir *dir = find(d, job_id);

    if (dir != NULL)
        dir->is_doomed = true;
}

static int by_age(const void *a, const void *b)
{
    const struct job_dir *x = *(struct job_dir *const *)a, *y = *(struct job_dir *const *)b;

    return x->settled < y->settled ? -1 : x->settled > y->settled;
}

void job_dirs_thin(struct job_dirs *d, int64_t max_files, int64_t n_reserved)
{
    AUTO(free) struct job_dir **settled = malloc((d->n + 1) * sizeof(*settled));
    int64_t n_files = n_reserved < max_files / 2 ? n_reserved : max_files / 2;
    size_t i, n = 0;

    if (max_files == 0)
        return;
    for (i = 0; settled != NULL && i < d->n; i++) {
        if (d->items[i].settled == 0 || d->items[i].is_doomed)
            continue;
        settled[n++] = &d->items[i];
        n_files += d->items[i].n_files;
    }
    if (settled == NULL || n_files <= max_files / 4 * 3)
        return;
    qsort(settled, n, sizeof(struct job_dir *), by_age);
    for (i = 0; i < n && n_files > max_files / 2; i++) {
        settled[i]->is_doomed = true;
        n_files -= settled[i]->n_files;
    }
}

void job_dirs_files(const struct job_dirs *d, int64_t *ret_settled, int64_t *ret_others)
{
    size_t i;

    *ret_settled = *ret_others = 0;
    for (i = 0; i < d->n; i++)
        *(d->items[i].settled > 0 || d->items[i].is_doomed ? ret_settled : ret_others) +=
            d->items[i].n_files;
}

int64_t job_dirs_bytes(const struct job_dirs *d)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < d->n; i++)
        if (!d->items[i].is_doomed)
            sum += d->items[i].bytes;
    return sum;
}

int64_t job_dirs_bytes_of(const struct job_dirs *d, const char *job_id)
{
    const struct job_dir *dir = find(d, job_id);

    return dir != NULL && !dir->is_doomed ? dir->bytes + dir->parts_bytes : 0;
}

int64_t job_dirs_doomed_files(const struct job_dirs *d)
{
    int64_t n = 0;
    size_t i;

    for (i = 0; i < d->n; i++)
        n += d->items[i].is_doomed ? d->items[i].n_files : 0;
    return n;
}

bool job_dirs_has_doomed(const struct job_dirs *d)
{
    size_t i;

    for (i = 0; i < d->n; i++)
        if (d->items[i].is_doomed)
            return true;
    return false;
}
