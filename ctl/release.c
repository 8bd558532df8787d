/* The directory of an update source, and `ssmctl release keygen`. */
#include "ctl/release.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/text.h"

#define MAX_KEY_FILE_BYTES ((size_t)64 << 10)

void release_root_name(int64_t version, char ret_name[32])
{
    (void)snprintf(ret_name, 32, "%" PRId64 ".root.json", version); /* 29 at most */
}

int release_read(const struct release_dir *d, const char *name, enum release_role role,
                 struct release_envelope *ret_envelope, struct err *err)
{
    AUTO(buf_done) struct buf bytes = {0};
    int r;

    buf_init(&bytes, release_max_bytes(role));
    r = fs_read_file(d->fd, name, &bytes, err);
    if (r == 0) {
        r = release_envelope_parse(buf_str(&bytes), bytes.len, role, ret_envelope, err);
        if (r < 0)
            (void)err_wrap(err, "%s/%s", d->path, name);
    }
    return r;
}

int release_write(const struct release_dir *d, const char *name, const struct release_envelope *e,
                  struct err *err)
{
    AUTO(buf_done) struct buf bytes = {0};
    int r;

    buf_init(&bytes, release_max_bytes(e->role));
    release_envelope_write(e, &bytes);
    r = buf_error(&bytes, name, err);
    return r < 0 ? r : fs_write_atomic(d->fd, name, buf_str(&bytes), bytes.len, 0644, true, err);
}

int release_remove(const struct release_dir *d, const char *name, struct err *err)
{
    if (unlinkat(d->fd, name, 0) != 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "%s/%s: cannot be removed", d->path, name);
    return 0;
}

/* 1, 2, ... as long as there is one. */
static int read_roots(struct release_dir *d, struct err *err)
{
    int64_t version;

    for (version = 1;; version++) {
        AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_ROOT};
        struct release_root root;
        char name[32];
        int r;

        release_root_name(version, name);
        r = release_read(d, name, RELEASE_ROOT, &e, err);
        if (r == ERR_NOT_FOUND)
            return 0;
        if (r < 0)
            return r;
        if ((r = release_root_parse(e.payload, e.n_payload, &root, err)) < 0 ||
            (r = signing_check(&root, &e, NULL, err)) < 0 ||
            (d->has_root && (r = signing_check(&d->root, &e, NULL, err)) < 0)) {
            if (r == ERR_AUTH) /* trying again does not sign it */
                r = err->code = ERR_INVALID;
            (void)err_wrap(err, "%s/%s", d->path, name);
            return r;
        }
        if (root.version != version)
            return err_set(err, ERR_INVALID, "%s/%s: it says that it is version %" PRId64, d->path,
                           name, root.version);
        d->root = root;
        d->has_root = true;
    }
}

int release_dir_open(const char *path, bool may_make, struct release_dir *ret_dir, struct err *err)
{
    AUTO(release_dir_done) struct release_dir d = {.path = path, .fd = -1};
    int r;

    if (may_make && mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_sys(err, ERR_IO, errno, "%s: cannot be made", path);
    d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.fd < 0)
        return err_sys(err, ERR_IO, errno, "%s: not a directory that can be opened", path);
    if (flock(d.fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, ERR_BUSY, "%s: another ssmctl works on it", path);
    r = read_roots(&d, err);
    if (r < 0)
        return r;
    *ret_dir = d;
    d.fd = -1;
    return 0;
}

void release_dir_done(struct release_dir *d)
{
    if (d->fd >= 0)
        (void)close(d->fd); /* only read through it */
    d->fd = -1;
}

int release_want_root(const struct release_dir *d, struct err *err)
{
    if (d->has_root)
        return 0;
    return err_set(err, ERR_NOT_FOUND,
                   "%s: it has no 1.root.json, which says whose signatures count; `ssmctl release "
                   "root` makes one",
                   d->path);
}

int release_read_manifest(const struct release_dir *d, struct release_envelope *ret_envelope,
                          struct release_manifest *ret_manifest, bool *ret_is_draft,
                          struct err *err)
{
    const char *name = RELEASE_MANIFEST_DRAFT;
    int r = release_read(d, name, RELEASE_RELEASE, ret_envelope, err);

    *ret_is_draft = r == 0;
    if (r == ERR_NOT_FOUND) {
        name = RELEASE_MANIFEST_FILE;
        r = release_read(d, name, RELEASE_RELEASE, ret_envelope, err);
    }
    if (r < 0)
        return r;
    r = release_manifest_parse(ret_envelope->payload, ret_envelope->n_payload, ret_manifest, err);
    if (r < 0)
        (void)err_wrap(err, "%s/%s", d->path, name);
    return r;
}

int release_expiry(const struct ctl *c, int64_t otherwise_days, int64_t *ret_expires_unix_ms,
                   struct err *err)
{
    int64_t days = 0;
    int r = ctl_value_i64(c, "days", 1, RELEASE_MAX_DAYS, otherwise_days, &days, err);

    if (r == 0)
        *ret_expires_unix_ms = clock_wall_ms() + days * RELEASE_DAY_MS;
    return r;
}

/* ---- keys ---- */

int release_key_load(const char *path, struct signing_key **ret_key, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    AUTO(buf_done) struct buf pem = {0};
    AUTO(signing_key_free) struct signing_key *key = NULL;
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, ERR_IO, errno, "key file %s: cannot be read", path);
    buf_init(&pem, MAX_KEY_FILE_BYTES);
    r = fs_read_fd(fd, path, &pem, err);
    if (r == 0) {
        r = signing_key_read(buf_str(&pem), pem.len, &key, err);
        if (r < 0)
            (void)err_wrap(err, "key file %s", path);
    }
    if (pem.data != NULL)
        explicit_bzero(pem.data, pem.len);
    /* Only now: a public key may be for everybody to read, and it is none to sign with. */
    if (r == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        r = err_set(err, ERR_STATE,
                    "key file %s: others than its owner have access to it (mode %04o); chmod "
                    "0600, and think about whether the key is still a secret",
                    path, (unsigned)(st.st_mode & 07777));
    if (r == 0)
        *ret_key = TAKE(key);
    return r;
}

int release_sign_all(const struct ctl *c, const char *option, struct release_envelope *e,
                     const struct release_root *const *roots, size_t n_roots, struct err *err)
{
    size_t i, j;
    int r;

    for (i = 0; i < c->n_given; i++) {
        AUTO(signing_key_free) struct signing_key *key = NULL;
        unsigned char public_key[RELEASE_KEY_BYTES];
        char keyid[RELEASE_KEYID_SIZE];

        if (!str_eq(c->given[i].option->name, option))
            continue;
        r = release_key_load(c->given[i].value, &key, err);
        if (r < 0)
            return r;
        signing_key_public(key, public_key);
        release_keyid_of(public_key, keyid);
        for (j = 0; j < n_roots; j++)
            if (release_role_key(roots[j], e->role, keyid) != NULL)
                break;
        if (j == n_roots)
            return err_set(err, ERR_REFUSED,
                           "key file %s: its key %.16s... is none that the root gives the role %s",
                           c->given[i].value, keyid, release_role_names[e->role]);
        r = signing_sign(key, e, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Never over a file that is there: it may be the only copy of a key. */
static int write_new_file(const char *path, mode_t mode, const char *text, struct err *err)
{
    AUTO(close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int r;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "%s: cannot be made", path);
    r = fs_write_all(fd, text, strlen(text), err);
    if (r == 0 && fsync(fd) != 0)
        r = err_sys(err, ERR_IO, errno, "%s: cannot be synced", path);
    if (r < 0)
        (void)unlink(path); /* half of a key is none; the error that matters is at hand */
    return r;
}

static int print_key(struct ctl *c, const char *keyid, const char *path, const char *public_path,
                     struct err *err)
{
    struct jsonw w;

    if (!c->is_json) {
        (void)fprintf(c->out, "key %s\n  private: ", keyid);
        text_put(c->out, path);
        (void)fputs(" (keep it secret, and a copy of it)\n  public:  ", c->out);
        text_put(c->out, public_path);
        (void)fputc('\n', c->out);
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_str(&w, "keyid", keyid);
    jsonw_str(&w, "private", path);
    jsonw_str(&w, "public", public_path);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

int ctl_run_release_keygen(struct ctl *c, struct err *err)
{
    AUTO(signing_key_free) struct signing_key *key = NULL;
    AUTO(secret_done) struct secret pem = {NULL, 0};
    AUTO(buf_done) struct buf public_pem = {0};
    unsigned char public_key[RELEASE_KEY_BYTES];
    char keyid[RELEASE_KEYID_SIZE], public_path[PATH_MAX];
    int r;

    if (snprintf(public_path, sizeof(public_path), "%s.pub", c->args[0]) >=
        (int)sizeof(public_path))
        return err_set(err, ERR_LIMIT, "%.100s...: the name is too long", c->args[0]);
    buf_init(&public_pem, MAX_KEY_FILE_BYTES);
    if ((r = signing_key_make(&key, err)) < 0 || (r = signing_key_write(key, &pem, err)) < 0)
        return r;
    signing_key_public(key, public_key);
    release_keyid_of(public_key, keyid);
    if ((r = signing_public_write(public_key, &public_pem, err)) < 0 ||
        (r = write_new_file(c->args[0], 0600, secret_reveal(&pem), err)) < 0)
        return r;
    r = write_new_file(public_path, 0644, buf_str(&public_pem), err);
    if (r < 0) {
        (void)unlink(c->args[0]); /* both or none; the error that matters is at hand */
        return r;
    }
    return print_key(c, keyid, c->args[0], public_path, err);
}
