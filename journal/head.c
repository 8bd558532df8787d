/* The ledger's head in its side file, which is what survives a forger of the journal. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "journal/sqlite_internal.h"

static int write_head(const char *path, const struct buf *text, struct err *err)
{
    AUTO(close_fd) int dir_fd = -1;
    char dir[PATH_MAX];
    char *slash;
    int r;

    if (!str_copy(dir, sizeof(dir), path))
        return err_set(err, ERR_LIMIT, "path %.100s...: too long", path);
    slash = strrchr(dir, '/');
    if (slash == NULL)
        return fs_write_atomic(AT_FDCWD, path, text->data, text->len, 0600, true, err);
    *slash = '\0';
    r = fs_open_dir(AT_FDCWD, dir[0] != '\0' ? dir : "/", &dir_fd, err);
    return r < 0 ? r : fs_write_atomic(dir_fd, slash + 1, text->data, text->len, 0600, true, err);
}

/* What the side file vouched for when it was last written; 0 when there is none, or it cannot be
 * read. */
static int64_t read_head(const char *path)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(record_done) struct record head = {0};

    buf_init(&text, RECORD_MAX_BYTES);
    return fs_read_file(AT_FDCWD, path, &text, NULL) == 0 &&
                   record_parse(buf_str(&text), text.len, "ledger-head", &head, NULL) == 0
               ? record_get_i64_or(&head, "n", 0)
               : 0;
}

/* A side file that knows of more rows than there are is evidence that rows were lost: it is not
 * written over. */
static int keep_lost_head(const char *path, struct err *err)
{
    char kept[PATH_MAX];

    if (snprintf(kept, sizeof(kept), "%s" JOURNAL_LOST_HEAD_SUFFIX, path) >= (int)sizeof(kept))
        return err_set(err, ERR_LIMIT, "%s: the path is too long", path);
    return rename(path, kept) < 0 ? err_sys(err, ERR_IO, errno, "keep %s as %s", path, kept) : 0;
}

int sqlite_publish_head(struct journal *j, struct err *err)
{
    struct sqlite_journal *sj = sqlite_of(j);
    AUTO(buf_done) struct buf text = {0};
    char hash[SHA256_HEX_SIZE];
    int64_t n = 0;
    int r = sqlite_ready(sj, err);

    if (r < 0 || sj->head_path[0] == '\0')
        return r;
    if (sj->is_in_transaction)
        return err_set(err, ERR_STATE, "%s: the ledger's head inside a transaction", sj->path);
    r = sqlite_ledger_end(sj, &n, hash, err);
    if (r < 0 || str_eq(hash, sj->published))
        return r;
    if (sj->published[0] == '\0' && read_head(sj->head_path) > n)
        r = keep_lost_head(sj->head_path, err);
    if (r < 0)
        return r;
    buf_init(&text, RECORD_MAX_BYTES);
    record_begin(&text, "ledger-head");
    record_add_i64(&text, "n", n);
    record_add(&text, "hash", hash);
    record_end(&text);
    r = buf_error(&text, "ledger's head", err);
    if (r == 0)
        r = write_head(sj->head_path, &text, err);
    if (r == 0)
        (void)str_copy(sj->published, sizeof(sj->published), hash); /* fits */
    return r;
}
