/* Packages: what is unpacked, and all that is refused. The archives are put together here header by
 * header, so that they can be wrong in any way. */
#include <archive.h>
#include <archive_entry.h>
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "update/unpack.h"

#define BLOCK 512
#define MAX_BYTES 100000
#define MAX_ENTRIES 20

/* One entry as it is written; the zero value of a member is what an ordinary file has. */
struct row {
    const char *name;
    unsigned mode; /* 0: 0644 */
    char type;     /* 0: '0' */
    const char *link, *content;
    const char *says; /* of the error; NULL: it is unpacked */
    int code;         /* 0: ERR_REFUSED */
    int64_t size;     /* 0: of the content; else this, whatever the content is */
};

static char root[64];
static int dir_fd;
static struct err err;
static struct buf tar; /* not compressed yet */
static struct unpack_count count;

static void begin(void)
{
    const char *temp = getenv("TMPDIR");

    (void)snprintf(root, sizeof(root), "%.30s/ssmd-unpack.XXXXXX", temp != NULL ? temp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(root));
    ck_assert_int_eq(fs_open_dir(AT_FDCWD, root, &dir_fd, &err), 0);
    buf_init(&tar, 64u << 20);
}

static void end(void)
{
    buf_done(&tar);
    (void)close(dir_fd);
    ck_assert_int_eq(fs_remove_tree(AT_FDCWD, root, &err), 0);
}

static void put_header(const char *name, unsigned mode, char type, const char *link, int64_t size)
{
    char h[BLOCK] = {0};
    unsigned sum = 8 * ' ';
    size_t i;

    ck_assert_uint_le(strlen(name), 100);
    memcpy(h, name, strlen(name));
    (void)snprintf(h + 100, 8, "%07o", mode);
    (void)snprintf(h + 108, 8, "%07o", 0u);
    (void)snprintf(h + 116, 8, "%07o", 0u);
    (void)snprintf(h + 124, 12, "%011llo", (unsigned long long)size);
    (void)snprintf(h + 136, 12, "%011o", 0u);
    h[156] = type;
    if (link != NULL)
        memcpy(h + 157, link, strlen(link));
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    for (i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    (void)snprintf(h + 148, 8, "%06o", sum);
    h[155] = ' ';
    ck_assert_int_eq(buf_add(&tar, h, BLOCK), 0);
}

static void put_bytes(const void *bytes, size_t n)
{
    static const char zeros[BLOCK];

    ck_assert_int_eq(buf_add(&tar, bytes, n), 0);
    if (n % BLOCK != 0)
        ck_assert_int_eq(buf_add(&tar, zeros, BLOCK - n % BLOCK), 0);
}

static void put_row(const struct row *e)
{
    size_t n = e->content != NULL ? strlen(e->content) : 0;

    put_header(e->name, e->mode != 0 ? e->mode : 0644, e->type != 0 ? e->type : '0', e->link,
               e->size != 0 ? e->size : (int64_t)n);
    if (n > 0)
        put_bytes(e->content, n);
}

static void put_file(const char *name, const char *content)
{
    const struct row e = {.name = name, .content = content};

    put_row(&e);
}

static void put_end(void)
{
    static const char zeros[2 * BLOCK];

    put_bytes(zeros, sizeof(zeros));
}

/* Bytes into <root>/package; *ret_fd is at their beginning. */
static void store(const void *bytes, size_t n, int *ret_fd)
{
    int fd = openat(dir_fd, "package", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fs_write_all(fd, bytes, n, &err), 0);
    ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
    *ret_fd = fd;
}

static void squeeze(const struct buf *in, struct buf *ret_out)
{
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    size_t used = 0, room = in->len + (1u << 20);
    char *out = malloc(room);

    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(archive_write_set_format_raw(a), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_add_filter_gzip(a), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_set_bytes_in_last_block(a, 1), ARCHIVE_OK);
    ck_assert_int_eq(archive_write_open_memory(a, out, room, &used), ARCHIVE_OK);
    archive_entry_set_filetype(e, AE_IFREG);
    ck_assert_int_eq(archive_write_header(a, e), ARCHIVE_OK);
    ck_assert_int_eq((int)archive_write_data(a, in->data, in->len), (int)in->len);
    archive_entry_free(e);
    ck_assert_int_eq(archive_write_free(a), ARCHIVE_OK);
    ck_assert_int_eq(buf_add(ret_out, out, used), 0);
    free(out);
}

static int unpack_bytes(const void *bytes, size_t n)
{
    static const struct unpack_limits limits = {MAX_BYTES, MAX_ENTRIES};
    AUTO(close_fd) int into = -1;
    AUTO(close_fd) int fd = -1;

    ck_assert_int_eq(fs_remove_tree(dir_fd, "into", &err), 0);
    ck_assert_int_eq(fs_make_dir(dir_fd, "into", &into, &err), 0);
    store(bytes, n, &fd);
    err = (struct err){0};
    return unpack_package(fd, into, &limits, &count, &err);
}

static int unpack_tar(void)
{
    AUTO(buf_done) struct buf gz = {0};

    buf_init(&gz, 64u << 20);
    squeeze(&tar, &gz);
    return unpack_bytes(gz.data, gz.len);
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_mode;
}

/* Nothing came to lie outside of where it was unpacked. */
static void check_nothing_outside(void)
{
    DIR *d = opendir(root);
    struct dirent *e;

    ck_assert_ptr_nonnull(d);
    while ((e = readdir(d)) != NULL)
        ck_assert_msg(str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
                          str_eq(e->d_name, "into") || str_eq(e->d_name, "package"),
                      "%s was made", e->d_name);
    (void)closedir(d);
}

static const struct row rows[] = {
    {"bin/ssmd", 0755, .content = "program"},
    {"./bin/ssmd", 0755, .content = "program"},
    {"./", 0755, .type = '5'},
    {".", 0755, .type = '5'},
    {"bin", 0755, .type = '5'},
    {"./share/man/man8/", 0755, .type = '5'},
    {"LICENSE", .content = "text"},
    {"lib/a_b-c.1.so.2", .content = "x"},
    {.name = "bin/empty"},
    {"bin/old-tar", .type = '\0', .content = "x"},
    /* names */
    {"/bin/ssmd", .says = "its name is empty"},
    {"//bin/ssmd", .says = "its name is empty"},
    {"bin//ssmd", .says = "its name is empty"},
    {"../bin/ssmd", .says = "begins with a dot"},
    {"bin/../../x", .says = "begins with a dot"},
    {"bin/..", .says = "begins with a dot"},
    {"bin/../bin/x", .says = "begins with a dot"},
    {"bin/./x", .says = "begins with a dot"},
    {"././bin/x", .says = "begins with a dot"},
    {"bin/.hidden", .says = "begins with a dot"},
    {"bin/-rf", .says = "begins with a dot or a dash"},
    {"bin/a b", .says = "other characters"},
    {"bin/a\nb", .says = "other characters"},
    {"bin/a\x1b[2J", .says = "other characters"},
    {"bin/a\x7f", .says = "other characters"},
    {"bin/a\\b", .says = "other characters"},
    {"bin/a:b", .says = "other characters"},
    {"bin/%2e%2e", .says = "other characters"},
    {"bin/caf\xc3\xa9", .says = "entry"},
    {"bin/\xff\xfe", .says = "entry"},
    {"bin/a/b/c/d/e/f/g/h/i", .says = "too many directories"},
    {"etc/passwd", .says = "only bin/, lib/, share/"},
    {"binary/x", .says = "only bin/, lib/, share/"},
    {"bi/x", .says = "only bin/, lib/, share/"},
    {"sealed", .says = "only bin/, lib/, share/"},
    {"bin", .content = "a file", .says = "only bin/, lib/, share/"},
    {"LICENSE/x", .says = "only bin/, lib/, share/"},
    {"README.md", 0755, .type = '5', .says = "only bin/, lib/, share/"},
    /* kinds */
    {"bin/ssmd", .type = '1', .link = "bin/other", .says = "hard link"},
    {"bin/ssmd", .type = '1', .link = "/etc/shadow", .says = "hard link"},
    {"bin/ssmd", .type = '2', .link = "other", .says = "symbolic link"},
    {"bin/ssmd", .type = '2', .link = "/bin/sh", .says = "symbolic link"},
    {"bin", .type = '2', .link = "/bin", .says = "symbolic link"},
    {"bin/null", .type = '3', .says = "device"},
    {"bin/disk", .type = '4', .says = "device"},
    {"bin/pipe", .type = '6', .says = "named pipe"},
    {"bin/ssmd", 04755, .says = "set-user-id"},
    {"bin/ssmd", 02755, .says = "set-user-id"},
    {"bin/ssmd", 01755, .says = "sticky"},
    {"share/x/", 01777, .type = '5', .says = "sticky"},
    {"share/x/", 02755, .type = '5', .says = "set-group-id"},
    /* sizes */
    {"bin/large", .size = MAX_BYTES + 1, .says = "more than 100000 bytes", .code = ERR_LIMIT},
    {"bin/large", .size = (int64_t)10 << 30, .says = "more than 100000 bytes", .code = ERR_LIMIT},
    {"bin/cut", .size = 70000, .content = "x", .says = "damaged", .code = ERR_CORRUPT},
};

START_TEST(an_entry_is_unpacked_as_it_is_or_the_package_is_refused)
{
    const struct row *e = &rows[_i];
    int r;

    put_row(e);
    put_end();
    r = unpack_tar();
    if (e->says == NULL) {
        ck_assert_msg(r == 0, "%s: %s", e->name, err.text);
    } else {
        ck_assert_msg(r == (e->code != 0 ? e->code : ERR_REFUSED), "%s: %d %s", e->name, r,
                      err.text);
        ck_assert_msg(strstr(err.text, e->says) != NULL, "%s: %s", e->name, err.text);
    }
    check_nothing_outside();
}
END_TEST

START_TEST(modes_are_ours_whatever_the_archive_and_the_umask_say)
{
    const struct row all[] = {{"bin/", 0777, .type = '5'},
                              {"bin/run", 0777, .content = "a"},
                              {"bin/read", 0666, .content = "b"},
                              {"bin/none", 0001, .content = "c"},
                              {"share/x/y", 0400, .content = "d"}};
    const mode_t before = umask(0077);
    size_t i;

    for (i = 0; i < ARRAY_LEN(all); i++)
        put_row(&all[i]);
    put_end();
    ck_assert_msg(unpack_tar() == 0, "%s", err.text);
    (void)umask(before);
    ck_assert_uint_eq(mode_of("into/bin"), S_IFDIR | 0755);
    ck_assert_uint_eq(mode_of("into/bin/run"), S_IFREG | 0755);
    ck_assert_uint_eq(mode_of("into/bin/read"), S_IFREG | 0644);
    ck_assert_uint_eq(mode_of("into/bin/none"), S_IFREG | 0644);
    ck_assert_uint_eq(mode_of("into/share/x"), S_IFDIR | 0755);
    ck_assert_uint_eq(mode_of("into/share/x/y"), S_IFREG | 0644);
    ck_assert_uint_eq(count.entries, 5);
    ck_assert_int_eq(count.bytes, 4);
}
END_TEST

START_TEST(a_name_that_comes_twice_is_refused)
{
    static const struct {
        struct row a, b;
        const char *says;
    } pairs[] = {
        {{"bin/x", .content = "1"}, {"bin/x", .content = "2"}, "twice"},
        {{"bin/x", .content = "1"}, {"./bin/x", .content = "2"}, "twice"},
        {{"bin/x/", 0755, .type = '5'}, {"bin/x", .content = "2"}, "twice"},
        {{"bin/x", .content = "1"}, {"bin/x/", 0755, .type = '5'}, "twice"},
        {{"bin/", 0755, .type = '5'}, {"bin/", 0755, .type = '5'}, "twice"},
        {{"bin/x", .content = "1"}, {"bin/x/y", .content = "2"}, "is a file before it"},
    };

    put_row(&pairs[_i].a);
    put_row(&pairs[_i].b);
    put_end();
    ck_assert_int_eq(unpack_tar(), ERR_REFUSED);
    ck_assert_msg(strstr(err.text, pairs[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_link_that_is_there_already_is_not_followed)
{
    static const struct unpack_limits limits = {MAX_BYTES, MAX_ENTRIES};
    AUTO(buf_done) struct buf gz = {0};
    AUTO(close_fd) int into = -1;
    AUTO(close_fd) int fd = -1;

    put_file("bin/x", "1");
    put_end();
    buf_init(&gz, 1u << 20);
    squeeze(&tar, &gz);
    ck_assert_int_eq(fs_make_dir(dir_fd, "into", &into, &err), 0);
    ck_assert_int_eq(mkdirat(dir_fd, "elsewhere", 0755), 0);
    ck_assert_int_eq(symlinkat("../elsewhere", into, "bin"), 0);
    store(gz.data, gz.len, &fd);
    ck_assert_int_lt(unpack_package(fd, into, &limits, &count, &err), 0);
    ck_assert_int_lt(faccessat(dir_fd, "elsewhere/x", F_OK, 0), 0);
}
END_TEST

START_TEST(the_bytes_of_all_files_together_are_limited)
{
    AUTO(free) char *large = calloc(1, MAX_BYTES / 2 + 2);

    ck_assert_ptr_nonnull(large);
    memset(large, 'x', MAX_BYTES / 2);
    put_file("bin/a", large);
    put_file("bin/b", large);
    put_end();
    ck_assert_msg(unpack_tar() == 0, "%s", err.text);
    ck_assert_int_eq(count.bytes, MAX_BYTES);
    buf_clear(&tar);
    put_file("bin/a", large);
    large[MAX_BYTES / 2] = 'x';
    put_file("bin/b", large);
    put_end();
    ck_assert_int_eq(unpack_tar(), ERR_LIMIT);
    ck_assert_msg(strstr(err.text, "bin/b") != NULL, "%s", err.text);
}
END_TEST

START_TEST(the_number_of_entries_is_limited)
{
    char name[32];
    int i;

    for (i = 0; i < MAX_ENTRIES; i++) {
        (void)snprintf(name, sizeof(name), "bin/file%d", i); /* fits */
        put_file(name, NULL);
    }
    ck_assert_msg(unpack_tar() == 0, "%s", err.text);
    put_header("share/", 0755, '5', NULL, 0);
    put_end();
    ck_assert_int_eq(unpack_tar(), ERR_LIMIT);
    ck_assert_msg(strstr(err.text, "more than 20 files") != NULL, "%s", err.text);
}
END_TEST

/* A pax header (type x, for the next entry) with one record. */
static void put_pax(const char *key, const char *value)
{
    char record[256], length[16];
    int n = (int)(strlen(key) + strlen(value)) + 3, all = n + 2;

    (void)snprintf(length, sizeof(length), "%d", all);
    all = n + (int)strlen(length);
    (void)snprintf(record, sizeof(record), "%d %s=%s\n", all, key, value);
    put_header("PaxHeader", 0644, 'x', NULL, (int64_t)strlen(record));
    put_bytes(record, strlen(record));
}

START_TEST(what_an_extension_header_says_is_judged_as_well)
{
    static const struct {
        const char *key, *value, *says;
    } headers[] = {
        {"path", "bin/good", NULL},
        {"path", "../evil", "begins with a dot"},
        {"path", "/etc/passwd", "its name is empty"},
        {"linkpath", "/etc/shadow", NULL}, /* of a file that is no link: without a meaning */
        {"SCHILY.xattr.security.capability", "x", "extended attributes"},
        {"GNU.sparse.realsize", "90000", "sparse"},
        {"size", "99999999999", "more than 100000 bytes"},
        {"size", "-1", "damaged"},
    };
    int r;

    if (str_has_prefix(headers[_i].key, "GNU.sparse")) { /* takes two records */
        put_header("PaxHeader", 0644, 'x', NULL, 29 + 30);
        put_bytes("29 GNU.sparse.realsize=90000\n"
                  "30 GNU.sparse.map=0,1,80000,1\n",
                  59);
    } else {
        put_pax(headers[_i].key, headers[_i].value);
    }
    put_file("bin/plain", "x");
    put_end();
    r = unpack_tar();
    if (headers[_i].says == NULL)
        ck_assert_msg(r == 0, "%s", err.text);
    else
        ck_assert_msg(r < 0 && strstr(err.text, headers[_i].says) != NULL, "%s=%s: %d %s",
                      headers[_i].key, headers[_i].value, r, err.text);
    check_nothing_outside();
}
END_TEST

START_TEST(only_a_tar_archive_in_gzip_is_a_package)
{
    AUTO(buf_done) struct buf once = {0};
    AUTO(buf_done) struct buf twice = {0};
    AUTO(buf_done) struct buf none = {0};
    static const char cpio[] = "070701";

    put_file("bin/x", "1");
    put_end();
    buf_init(&once, 1u << 20);
    buf_init(&twice, 1u << 20);
    buf_init(&none, 1u << 20);
    squeeze(&tar, &once);
    squeeze(&once, &twice);
    ck_assert_msg(unpack_bytes(once.data, once.len) == 0, "%s", err.text);
    ck_assert_int_eq(unpack_bytes(tar.data, tar.len), ERR_REFUSED);
    ck_assert_msg(strstr(err.text, "compressed once with gzip") != NULL, "%s", err.text);
    ck_assert_int_lt(unpack_bytes(twice.data, twice.len), 0);
    ck_assert_int_lt(unpack_bytes(cpio, sizeof(cpio)), 0);
    ck_assert_int_lt(unpack_bytes("", 0), 0);
    ck_assert_int_eq(buf_add_str(&none, "\x7f"
                                        "ELF, and not an archive"),
                     0);
    ck_assert_int_lt(unpack_bytes(none.data, none.len), 0);
    buf_clear(&tar);
    put_end();
    ck_assert_int_eq(unpack_tar(), ERR_CORRUPT); /* an archive of nothing */
}
END_TEST

START_TEST(a_package_that_is_cut_anywhere_is_refused)
{
    AUTO(buf_done) struct buf gz = {0};
    char noise[3001];
    size_t i;

    for (i = 0; i < sizeof(noise) - 1; i++)
        noise[i] = (char)('!' + (i * 7919 + i * i) % 90);
    noise[sizeof(noise) - 1] = '\0';
    put_file("bin/x", noise);
    buf_init(&gz, 1u << 20);
    squeeze(&tar, &gz);
    for (i = 0; i < gz.len; i += i < 64 || i + 64 > gz.len ? 1 : 13)
        ck_assert_msg(unpack_bytes(gz.data, i) < 0, "cut to %zu of %zu bytes: taken", i, gz.len);
    ck_assert_int_eq(unpack_bytes(gz.data, gz.len), 0);
}
END_TEST

START_TEST(a_directory_that_cannot_be_written_is_told_from_a_bad_package)
{
    static const struct unpack_limits limits = {MAX_BYTES, MAX_ENTRIES};
    AUTO(buf_done) struct buf gz = {0};
    AUTO(close_fd) int into = -1;
    AUTO(close_fd) int fd = -1;

    put_file("bin/x", "1");
    put_end();
    buf_init(&gz, 1u << 20);
    squeeze(&tar, &gz);
    ck_assert_int_eq(fs_make_dir(dir_fd, "into", &into, &err), 0);
    store(gz.data, gz.len, &fd);
    ck_assert_int_eq(fs_remove_tree(dir_fd, "into", &err), 0); /* nothing can be made there now */
    ck_assert_int_eq(unpack_package(fd, into, &limits, &count, &err), ERR_NOT_FOUND);
    ck_assert_msg(strstr(err.text, "make directory bin") != NULL, "%s", err.text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("unpack");
    TCase *t = tcase_create("packages");
    SRunner *sr;
    int n_failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, an_entry_is_unpacked_as_it_is_or_the_package_is_refused, 0,
                        (int)ARRAY_LEN(rows));
    tcase_add_test(t, modes_are_ours_whatever_the_archive_and_the_umask_say);
    tcase_add_loop_test(t, a_name_that_comes_twice_is_refused, 0, 6);
    tcase_add_test(t, a_link_that_is_there_already_is_not_followed);
    tcase_add_test(t, the_bytes_of_all_files_together_are_limited);
    tcase_add_test(t, the_number_of_entries_is_limited);
    tcase_add_loop_test(t, what_an_extension_header_says_is_judged_as_well, 0, 8);
    tcase_add_test(t, only_a_tar_archive_in_gzip_is_a_package);
    tcase_add_test(t, a_package_that_is_cut_anywhere_is_refused);
    tcase_add_test(t, a_directory_that_cannot_be_written_is_told_from_a_bad_package);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
