/* A package from any bytes: unpacked or refused with a reason, and never anything but plain files
 * and directories of ours, within the limits. The first byte chooses whether the rest is the
 * package or the tar archive in it, which no change of a compressed file would reach. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "update/unpack.h"

#define MAX_INPUT (64u << 10)
#define MAX_STORED 65535

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static const struct unpack_limits limits = {4096, 8};
static int64_t n_bytes;
static unsigned n_entries;
static size_t root_len;
static bool is_whole;

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* gzip without compression. */
static void wrap(const unsigned char *data, size_t n, struct buf *ret_bytes)
{
    static const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    static const unsigned char tail[8];

    (void)buf_add(ret_bytes, head, sizeof(head));
    do {
        size_t k = n < MAX_STORED ? n : MAX_STORED;
        const unsigned char block[5] = {k == n, (unsigned char)k, (unsigned char)(k >> 8),
                                        (unsigned char)~k, (unsigned char)(~k >> 8)};

        (void)buf_add(ret_bytes, block, sizeof(block));
        (void)buf_add(ret_bytes, data, k);
        data += k;
        n -= k;
    } while (n > 0);
    (void)buf_add(ret_bytes, tail, sizeof(tail));
    must(ret_bytes->failed == 0);
}

static int look(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    const char *p = path + root_len;

    if (where->level == 0)
        return 0;
    must(kind == FTW_F || kind == FTW_D);
    must(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
    must((st->st_mode & 07777) == 0755 || (S_ISREG(st->st_mode) && (st->st_mode & 07777) == 0644) ||
         (!is_whole && (st->st_mode & 07777) == 0600)); /* the file at which it ended */
    must(st->st_nlink == 1 || S_ISDIR(st->st_mode));
    must(strlen(p) <= UNPACK_MAX_NAME + 1);
    if (S_ISREG(st->st_mode)) {
        n_bytes += st->st_size;
        n_entries++;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    AUTO(buf_done) struct buf bytes = {0};
    AUTO(close_fd) int fd = memfd_create("package", MFD_CLOEXEC);
    AUTO(close_fd) int dir = -1;
    char root[] = "/tmp/ssmd-fuzz-unpack.XXXXXX";
    struct unpack_count count = {.bytes = 0};
    struct err err = {0};
    int r;

    if (n == 0 || n > MAX_INPUT)
        return 0;
    buf_init(&bytes, 2 * MAX_INPUT);
    if (data[0] % 2 == 0)
        wrap(data + 1, n - 1, &bytes);
    else
        (void)buf_add(&bytes, data + 1, n - 1);
    must(fd >= 0 && mkdtemp(root) != NULL && fs_open_dir(AT_FDCWD, root, &dir, &err) == 0);
    root_len = strlen(root);
    must(fs_write_all(fd, buf_str(&bytes), bytes.len, &err) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    r = unpack_package(fd, dir, &limits, &count, &err);
    must(r == 0 || err.text[0] != '\0');
    n_bytes = n_entries = 0;
    is_whole = r == 0;
    must(nftw(root, look, 8, FTW_PHYS) == 0);
    must(n_bytes <= limits.max_bytes && n_entries <= limits.max_entries);
    if (is_whole)
        must(n_bytes == count.bytes && n_entries <= count.entries);
    must(fs_remove_tree(AT_FDCWD, root, &err) == 0);
    return 0;
}
