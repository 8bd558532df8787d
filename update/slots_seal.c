/* The seal of a slot: the list of all that is in it, with modes, lengths and SHA-256. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/fs.h"
#include "base/record.h"
#include "base/sha256.h"
#include "base/str.h"
#include "base/version.h"
#include "update/slots_internal.h"

#define KEY_VERSION "version"
#define KEY_PACKAGE "package_sha256"
#define KEY_FILE "file" /* "<mode> <length> <SHA-256> <path>" */
#define KEY_DIR "dir"   /* "<mode> <path>" */
#define MAX_DEPTH 8
#define MAX_SEAL_BYTES (1u << 20)
#define TEMP "." SLOTS_SEAL ".tmp" /* what fs_write_atomic() leaves when it dies */

struct walk {
    struct buf *out;
    bool is_sealing; /* modes are set and everything is synced on the way */
    int n_files;
    int64_t n_bytes;
    char path[PATH_MAX]; /* below the slot, of what is looked at */
    struct err *err;
};

static int walk_dir(struct walk *w, int fd, int depth);

static int hash_file(struct walk *w, int fd, int64_t *ret_length, char hex[SHA256_HEX_SIZE])
{
    struct sha256 sha;
    char chunk[65536];
    ssize_t n;

    sha256_init(&sha);
    *ret_length = 0;
    while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(w->err, ERR_IO, errno, "read %s", w->path);
        *ret_length += n;
        w->n_bytes += n;
        if (w->n_bytes > SLOTS_MAX_BYTES)
            return err_set(w->err, ERR_LIMIT, "%s: more than %lld bytes in all", w->path,
                           (long long)SLOTS_MAX_BYTES);
        sha256_add(&sha, chunk, (size_t)n);
    }
    sha256_end_hex(&sha, hex);
    return 0;
}

static int set_mode(struct walk *w, int fd, mode_t mode)
{
    if (fchmod(fd, mode) < 0)
        return err_sys(w->err, ERR_IO, errno, "chmod %s", w->path);
    return fsync(fd) == 0 ? 0 : err_sys(w->err, ERR_IO, errno, "sync %s", w->path);
}

static void note(struct walk *w, const char *key, mode_t mode, const char *more)
{
    char text[PATH_MAX + 128];

    (void)snprintf(text, sizeof(text), "%04o %s%s", (unsigned)mode, more, w->path);
    record_add(w->out, key, text); /* buf_error() tells */
}

static int walk_file(struct walk *w, int fd, mode_t mode)
{
    char hex[SHA256_HEX_SIZE], more[SHA256_HEX_SIZE + 24];
    int64_t length = 0;
    int r = 0;

    if (++w->n_files > SLOTS_MAX_FILES)
        return err_set(w->err, ERR_LIMIT, "%s: more than %d files", w->path, SLOTS_MAX_FILES);
    if (w->is_sealing) {
        mode = (mode & 0111) != 0 ? 0555 : 0444;
        r = set_mode(w, fd, mode);
    }
    if (r == 0)
        r = hash_file(w, fd, &length, hex);
    if (r < 0)
        return r;
    (void)snprintf(more, sizeof(more), "%" PRId64 " %s ", length, hex);
    note(w, KEY_FILE, mode, more);
    return 0;
}

static int walk_entry(struct walk *w, int dirfd, const char *name, int depth)
{
    AUTO(close_fd) int fd = -1;
    struct stat st;
    int r;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(w->err, ERR_IO, errno, "stat %s", w->path);
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) /* not to be opened: who knows what it does */
        return err_set(w->err, ERR_INVALID, "%s is neither a file nor a directory", w->path);
    fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(w->err, ERR_IO, errno, "open %s", w->path);
    /* While it is being sealed others may not write either: it was made with our umask. */
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(w->err, ERR_INVALID, "%s belongs to user %ld", w->path, (long)st.st_uid);
    if ((st.st_mode & (S_ISUID | S_ISGID | S_ISVTX)) != 0)
        return err_set(w->err, ERR_INVALID, "%s has mode %04o", w->path,
                       (unsigned)(st.st_mode & 07777));
    if (S_ISREG(st.st_mode))
        return walk_file(w, fd, st.st_mode & 07777);
    if (depth == 0)
        return err_set(w->err, ERR_LIMIT, "%s: more than %d levels", w->path, MAX_DEPTH);
    r = walk_dir(w, fd, depth - 1);
    if (r == 0 && w->is_sealing)
        r = set_mode(w, fd, 0555);
    if (r == 0)
        note(w, KEY_DIR, w->is_sealing ? 0555 : st.st_mode & 07777, "");
    return r;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
    char **items; /* owned, each of them too */
    size_t n;
};

static void names_done_cleanup(struct names *l)
{
    while (l->n > 0)
        free(l->items[--l->n]);
    free(l->items);
}

/* The names in a directory, sorted; not the seal's own. */
static int list_names(struct walk *w, int dirfd, struct names *ret_names)
{
    bool is_top = w->path[0] == '\0';
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    ret_names->items = calloc(SLOTS_MAX_FILES + 1, sizeof(char *));
    if (dir == NULL || ret_names->items == NULL) {
        r = err_sys(w->err, ERR_IO, errno, "list %s", is_top ? "the version" : w->path);
        if (dir != NULL)
            (void)closedir(dir);
        else
            close_fd_cleanup(&fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;

        if (str_eq(name, ".") || str_eq(name, "..") || (is_top && str_eq(name, SLOTS_SEAL)))
            continue;
        if (ret_names->n > SLOTS_MAX_FILES)
            r = err_set(w->err, ERR_LIMIT, "%s: more than %d entries", w->path, SLOTS_MAX_FILES);
        else if ((ret_names->items[ret_names->n] = strdup(name)) == NULL)
            r = err_set(w->err, ERR_NOMEM, "list %s: out of memory", w->path);
        else
            ret_names->n++;
    }
    (void)closedir(dir);
    if (ret_names->n > 0)
        qsort(ret_names->items, ret_names->n, sizeof(char *), compare_names);
    return r;
}

static int walk_dir(struct walk *w, int fd, int depth)
{
    AUTO(names_done) struct names names = {0};
    size_t i, len = strlen(w->path);
    int r = list_names(w, fd, &names);

    for (i = 0; r == 0 && i < names.n; i++) {
        int n = snprintf(w->path + len, sizeof(w->path) - len, "%s%s", len > 0 ? "/" : "",
                         names.items[i]);

        r = n < (int)(sizeof(w->path) - len)
                ? walk_entry(w, fd, names.items[i], depth)
                : err_set(w->err, ERR_LIMIT, "%.100s...: its path is too long", w->path);
        w->path[len] = '\0';
    }
    return r;
}

int slots_seal(int dirfd, const char *version, const char *package_sha256, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    struct walk w = {.out = &text, .is_sealing = true, .err = err};
    int r;

    if (!version_is_valid(version))
        return err_set(err, ERR_INVALID, "seal: \"%.80s\" is no version", version);
    if (fchmod(dirfd, 0755) < 0) /* it may have been sealed by who died then */
        return err_sys(err, ERR_IO, errno, "seal version %s: chmod", version);
    if (unlinkat(dirfd, TEMP, 0) < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "seal version %s: remove " TEMP, version);
    buf_init(&text, MAX_SEAL_BYTES);
    record_begin(&text, SLOTS_SEAL);
    record_add(&text, KEY_VERSION, version);
    record_add(&text, KEY_PACKAGE, package_sha256);
    r = walk_dir(&w, dirfd, MAX_DEPTH);
    record_end(&text);
    if (r == 0)
        r = buf_error(&text, "the seal", err);
    crashpoint("slots.seal.before");
    if (r == 0)
        r = fs_write_atomic(dirfd, SLOTS_SEAL, text.data, text.len, 0444, true, err);
    if (r == 0 && (fchmod(dirfd, 0555) < 0 || fsync(dirfd) < 0))
        r = err_sys(err, ERR_IO, errno, "sync");
    crashpoint("slots.seal.after");
    return r < 0 ? err_wrap(err, "seal version %s", version) : 0;
}

/* ---- comparing ---- */

struct entry {
    const char *path, *text; /* borrowed from a record */
};

/* Behind the third blank of a file's line, the first of a directory's. */
static const char *path_of(const struct record_item *item)
{
    int n_blanks = str_eq(item->key, KEY_FILE) ? 3 : 1;
    const char *p = item->value;

    for (; n_blanks > 0 && p != NULL; n_blanks--)
        if ((p = strchr(p, ' ')) != NULL)
            p++;
    return p;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

/* What a record lists, by path. Keys of later versions are passed over. */
static int list_entries(const struct record *r, struct entry **ret_entries, size_t *ret_n,
                        struct err *err)
{
    AUTO(free) struct entry *entries = calloc(r->n_items + 1, sizeof(*entries));
    size_t i, n = 0;

    if (entries == NULL)
        return err_set(err, ERR_NOMEM, "seal: out of memory");
    for (i = 0; i < r->n_items; i++) {
        const struct record_item *item = &r->items[i];

        if (!str_eq(item->key, KEY_FILE) && !str_eq(item->key, KEY_DIR))
            continue;
        entries[n] = (struct entry){path_of(item), item->value};
        if (entries[n++].path == NULL)
            return err_set(err, ERR_CORRUPT, "its seal says \"%.100s\"", item->value);
    }
    qsort(entries, n, sizeof(*entries), compare_entries);
    *ret_entries = TAKE(entries);
    *ret_n = n;
    return 0;
}

static int tell_difference(const struct entry *sealed, const struct entry *found, struct err *err)
{
    if (sealed->path == NULL || (found->path != NULL && strcmp(sealed->path, found->path) > 0))
        return err_set(err, ERR_CORRUPT, "%s is not of it", found->path);
    if (found->path == NULL || !str_eq(sealed->path, found->path))
        return err_set(err, ERR_CORRUPT, "%s is missing", sealed->path);
    return err_set(err, ERR_CORRUPT,
                   "%s was changed (mode, length, SHA-256: \"%.90s\", sealed as "
                   "\"%.90s\")",
                   found->path, found->text, sealed->text);
}

static int compare(const struct record *sealed, const struct record *found, struct err *err)
{
    AUTO(free) struct entry *a = NULL;
    AUTO(free) struct entry *b = NULL;
    size_t i, n = 0, m = 0;
    int r;

    if ((r = list_entries(sealed, &a, &n, err)) < 0 || (r = list_entries(found, &b, &m, err)) < 0)
        return r;
    assert(a != NULL && b != NULL);
    for (i = 0; i < n || i < m; i++) /* both lists end with an empty entry */
        if (i >= n || i >= m || !str_eq(a[i].text, b[i].text))
            return tell_difference(&a[i < n ? i : n], &b[i < m ? i : m], err);
    return 0;
}

static int read_seal(int dirfd, const char *version, struct record *ret_seal, struct err *err)
{
    AUTO(buf_done) struct buf bytes = {0};
    AUTO(record_done) struct record seal = {0};
    int r;

    buf_init(&bytes, MAX_SEAL_BYTES);
    if ((r = fs_read_file(dirfd, SLOTS_SEAL, &bytes, err)) < 0)
        return r == ERR_NOT_FOUND ? err_set(err, ERR_CORRUPT, "it is not sealed") : r;
    if ((r = record_parse(buf_str(&bytes), bytes.len, SLOTS_SEAL, &seal, err)) < 0)
        return r == ERR_INVALID ? err_set(err, ERR_CORRUPT, "its seal is another file") : r;
    if (!str_eq(record_get(&seal, KEY_VERSION), version))
        return err_set(err, ERR_CORRUPT, "it was sealed as version %.64s",
                       record_get(&seal, KEY_VERSION) != NULL ? record_get(&seal, KEY_VERSION)
                                                              : "(none)");
    *ret_seal = TAKE_STRUCT(seal);
    return 0;
}

static int verify(int dirfd, const char *version, struct err *err)
{
    AUTO(record_done) struct record seal = {0}, now = {0};
    AUTO(buf_done) struct buf text = {0};
    struct walk w = {.out = &text, .err = err};
    int r = read_seal(dirfd, version, &seal, err);

    if (r < 0)
        return r;
    buf_init(&text, MAX_SEAL_BYTES);
    record_begin(&text, SLOTS_SEAL);
    r = walk_dir(&w, dirfd, MAX_DEPTH);
    if (r == ERR_INVALID || r == ERR_LIMIT)
        return err->code = ERR_CORRUPT; /* what a seal could not have been put over */
    record_end(&text);
    if (r < 0 || (r = buf_error(&text, "the list of its files", err)) < 0 ||
        (r = record_parse(buf_str(&text), text.len, SLOTS_SEAL, &now, err)) < 0)
        return r;
    return compare(&seal, &now, err);
}

int slots_verify(const struct slots *s, const char *version, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct err own;
    int r;

    if (err == NULL)
        err = &own;
    if (!version_is_valid(version))
        return err_set(err, ERR_INVALID, "\"%.80s\" is no version", version);
    r = fs_open_dir(s->versions_fd, version, &fd, err);
    if (r == 0)
        r = verify(fd, version, err);
    return r < 0 ? err_wrap(err, "version %s", version) : 0;
}
