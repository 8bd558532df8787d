/* Access keys from a file or the environment; a random one for a new hub. */
#include "hub/access_keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"

#define MAX_FILE_BYTES 65536

static char *trim(char *s)
{
    size_t n;

    s += strspn(s, " \t\r");
    n = strlen(s);
    while (n > 0 && strchr(" \t\r", s[n - 1]) != NULL)
        s[--n] = '\0';
    return s;
}

/* The section that ended must be a complete key, or have none of its members. */
static int end_section(struct access_keys *c, const char *path, struct err *err)
{
    struct access_key *last = &c->list[c->n];
    bool has_secret;

    if (c->n == ACCESS_KEYS_MAX)
        return err_set(err, ERR_INVALID, "%s: more than %d keys", path, ACCESS_KEYS_MAX);
    has_secret = secret_is_set(&last->secret);
    if (last->access_key[0] == '\0' && !has_secret)
        return 0;
    if (last->access_key[0] == '\0' || !has_secret)
        return err_set(err, ERR_INVALID,
                       "%s: a section must have both aws_access_key_id and aws_secret_access_key",
                       path);
    c->n++;
    return 0;
}

static int take_line(struct access_keys *c, const char *path, int number, char *line,
                     struct err *err)
{
    struct access_key *now = &c->list[c->n];
    char *equals, *name, *value;

    line = trim(line);
    if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
        return 0;
    if (line[0] == '[')
        return end_section(c, path, err);
    equals = strchr(line, '=');
    if (equals == NULL)
        return err_set(err, ERR_INVALID, "%s: line %d is neither [section] nor name = value", path,
                       number);
    *equals = '\0';
    name = trim(line);
    value = trim(equals + 1);
    if (c->n == ACCESS_KEYS_MAX)
        return err_set(err, ERR_INVALID, "%s: more than %d keys", path, ACCESS_KEYS_MAX);
    if (str_eq(name, "aws_access_key_id")) {
        if (!str_copy(now->access_key, sizeof(now->access_key), value))
            return err_set(err, ERR_INVALID, "%s: line %d: the access key is too long", path,
                           number);
    } else if (str_eq(name, "aws_secret_access_key"))
        return secret_set(&now->secret, value, err);
    else if (str_eq(name, "aws_session_token"))
        return secret_set(&now->token, value, err);
    return 0; /* region, output and the like are not ours */
}

int access_keys_read(int dirfd, const char *path, struct access_keys *ret, struct err *err)
{
    AUTO(access_keys_done) struct access_keys c = {0};
    AUTO(buf_done) struct buf bytes = {0};
    char *line, *rest;
    int number = 0, r;

    buf_init(&bytes, MAX_FILE_BYTES);
    r = fs_read_file(dirfd, path, &bytes, err);
    for (rest = bytes.data; r == 0 && rest != NULL && (line = strsep(&rest, "\n")) != NULL;)
        r = take_line(&c, path, ++number, line, err);
    if (r == 0)
        r = end_section(&c, path, err);
    if (bytes.data != NULL)
        explicit_bzero(bytes.data, bytes.len);
    if (r < 0)
        return r;
    if (c.n == 0)
        return err_set(err, ERR_INVALID,
                       "%s: no aws_access_key_id with aws_secret_access_key in it", path);
    *ret = TAKE_STRUCT(c);
    return 0;
}

void access_keys_random(char *text, size_t n, const char *alphabet)
{
    size_t size = strlen(alphabet), i;
    unsigned char bytes[ACCESS_KEYS_RANDOM_MAX];

    assert(n <= sizeof(bytes) && 256 % size == 0);
    ids_random(bytes, n);
    for (i = 0; i < n; i++)
        text[i] = alphabet[bytes[i] % size];
    text[n] = '\0';
    explicit_bzero(bytes, sizeof(bytes));
}

static int make(int dirfd, const char *name, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    char key[17], secret[41];
    int r;

    access_keys_random(key, sizeof(key) - 1, ACCESS_KEYS_BASE32);
    access_keys_random(secret, sizeof(secret) - 1, ACCESS_KEYS_BASE64);
    buf_init(&b, 1024);
    (void)buf_printf(&b, "[default]\naws_access_key_id = AKIA%s\naws_secret_access_key = %s\n", key,
                     secret);
    explicit_bzero(secret, sizeof(secret));
    r = buf_error(&b, "credentials", err);
    if (r == 0)
        r = fs_write_atomic(dirfd, name, b.data, b.len, 0600, true, err);
    if (b.data != NULL)
        explicit_bzero(b.data, b.len);
    return r;
}

int access_keys_read_or_make(int dirfd, const char *name, struct access_keys *ret, struct err *err)
{
    if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
        int r = make(dirfd, name, err);

        if (r < 0)
            return r;
    }
    return access_keys_read(dirfd, name, ret, err);
}

int access_keys_from_environment(struct access_keys *ret, struct err *err)
{
    AUTO(access_keys_done) struct access_keys c = {0};
    const char *key = getenv("AWS_ACCESS_KEY_ID"), *secret = getenv("AWS_SECRET_ACCESS_KEY");
    const char *token = getenv("AWS_SESSION_TOKEN");
    int r;

    if (key == NULL || key[0] == '\0' || secret == NULL || secret[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set in the environment "
                       "with --credentials-env");
    if (!str_copy(c.list[0].access_key, sizeof(c.list[0].access_key), key))
        return err_set(err, ERR_INVALID, "AWS_ACCESS_KEY_ID is too long");
    r = secret_set(&c.list[0].secret, secret, err);
    if (r == 0 && token != NULL && token[0] != '\0')
        r = secret_set(&c.list[0].token, token, err);
    if (r < 0)
        return r;
    c.n = 1;
    *ret = TAKE_STRUCT(c);
    return 0;
}

void access_keys_done(struct access_keys *c)
{
    size_t i;

    for (i = 0; i < ACCESS_KEYS_MAX; i++) {
        secret_done(&c->list[i].secret);
        secret_done(&c->list[i].token);
    }
    *c = (struct access_keys){0};
}
