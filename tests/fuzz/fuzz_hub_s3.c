/* Requests to ssmhub's S3, signed as they should be: addresses, headers, bodies in chunks, XML. The
 * requests of one input, separated by 0x1e, share a store, and '@' in an address is the id of the
 * last upload. Whatever comes is done or refused by name, in XML that our own reader takes; a body
 * in chunks that does not end becomes no object. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"
#include "hub/s3.h"
#include "transport/s3_xml.h"

#define SEPARATOR 0x1e
#define MAX_HEADERS 24
#define NOW_MS INT64_C(1714842447000)
#define KEY "AKIDFUZZ"
#define SECRET "fuzz"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int work_fd = -1;
static char work[64], upload_id[S3_UPLOAD_ID_SIZE];
static struct access_keys keys;
static struct store *store; /* only asked for the keys of roles: there are none */

static void require(bool is_so)
{
    if (!is_so)
        abort();
}

static void fill(void *bytes, size_t n)
{
    static unsigned char counter;

    memset(bytes, ++counter, n); /* the same for the same input is not needed, speed is */
}

static void remove_work(void)
{
    (void)fs_remove_tree(AT_FDCWD, work, NULL);
}

static void begin(void)
{
    struct err err;

    (void)snprintf(work, sizeof(work), "%s/ssmd-fuzz.XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(work) != NULL && fs_open_dir(AT_FDCWD, work, &work_fd, &err) == 0);
    (void)atexit(remove_work);
    ids_set_source(fill);
    require(store_open(":memory:", &store, &err) == 0);
    keys.n = 1;
    (void)str_copy(keys.list[0].access_key, sizeof(keys.list[0].access_key), KEY);
    require(secret_set(&keys.list[0].secret, SECRET, &err) == 0);
}

/* The line before the next '\n', as a string; moves *p behind it. */
static char *take_line(char **p)
{
    char *line = *p, *end = strchr(line, '\n');

    *p = end != NULL ? end + 1 : line + strlen(line);
    if (end != NULL)
        *end = '\0';
    return line;
}

static void put_upload_id(const char *target, char *ret, size_t size)
{
    const char *at = strchr(target, '@');

    (void)snprintf(ret, size, "%.*s%s%s", at != NULL ? (int)(at - target) : (int)strlen(target),
                   target, at != NULL ? upload_id : "", at != NULL ? at + 1 : "");
}

static void check_answer(const struct s3_request *q, const struct s3_answer *a, const char *method)
{
    AUTO(s3_list_done) struct s3_list list = {0};
    const char *operation = s3_request_operation(q);
    struct s3_error error;
    struct err err;

    require(a->status >= 200 && a->status < 600 && a->status != 500);
    require((a->status >= 400) == (a->error_code[0] != '\0'));
    if (a->status >= 400) {
        require(str_eq(method, "HEAD") ? a->body.len == 0 : a->body.len > 0);
        s3_xml_error(buf_str(&a->body), a->body.len, &error);
        require(str_eq(method, "HEAD") || str_eq(error.code, a->error_code));
    } else if (str_eq(operation, "ListObjects")) {
        require(s3_xml_list(buf_str(&a->body), a->body.len, &list, &err) == 0);
    } else if (str_eq(operation, "CreateMultipartUpload")) {
        require(s3_xml_upload_id(buf_str(&a->body), a->body.len, upload_id, &err) == 0);
    }
    require(a->fd < 0 || (a->offset >= 0 && a->len >= 0));
}

static void request_one(struct hub *hub, char *text, size_t n)
{
    AUTO(buf_done) struct buf authorization = {0};
    struct header headers[MAX_HEADERS + 6];
    char date[SIGV4_DATE_SIZE], address[2048];
    const char *sha = "UNSIGNED-PAYLOAD", *query, *mark;
    char *p = text, *line = take_line(&p), *target = strchr(line, ' ');
    struct s3_head head = {.method = line, .target = address, .headers = headers};
    struct s3_request *q = NULL;
    struct s3_answer a;
    struct err err;
    size_t i, body_len, piece;

    if (target == NULL)
        return;
    *target++ = '\0';
    put_upload_id(target, address, sizeof(address));
    sigv4_format_date(NOW_MS, date);
    headers[head.n_headers++] = (struct header){"X-Amz-Date", date};
    while (head.n_headers < MAX_HEADERS && *p != '\0' && *(line = take_line(&p)) != '\0') {
        char *colon = strchr(line, ':');

        if (colon == NULL)
            continue;
        *colon++ = '\0';
        headers[head.n_headers++] = (struct header){line, colon};
        if (str_eq_nocase(line, "x-amz-content-sha256"))
            sha = colon;
    }
    headers[head.n_headers++] = (struct header){"Host", "127.0.0.1"};
    headers[head.n_headers++] = (struct header){"X-Amz-Content-Sha256", sha};
    body_len = n - (size_t)(p - text);
    mark = strchr(address, '?');
    query = mark != NULL ? mark + 1 : NULL;
    AUTO(free) char *path = strndup(address, mark != NULL ? (size_t)(mark - address) : 2048);
    const struct sigv4_scope scope = {date, "us-east-1", "s3"};
    const struct sigv4_request to_sign = {.method = head.method,
                                          .path = path,
                                          .query = query,
                                          .headers = headers,
                                          .n_headers = head.n_headers,
                                          .body_sha256 = sha};
    require(path != NULL);
    buf_init(&authorization, 64u << 10);
    if (sigv4_sign(&to_sign, &scope, KEY, SECRET, &authorization, &err) == 0)
        headers[head.n_headers++] = (struct header){"Authorization", buf_str(&authorization)};
    (void)s3_is_request(&head);
    if (s3_request_new(hub, &keys, &head, &q, &err) < 0)
        return;
    piece = 1 + body_len % 5;
    for (i = 0; i < body_len; i += piece)
        s3_request_add(q, p + i, body_len - i < piece ? body_len - i : piece);
    s3_request_run(q, NOW_MS, &a);
    check_answer(q, &a, head.method);
    if (str_eq(sha, "STREAMING-UNSIGNED-PAYLOAD-TRAILER") && a.status < 300 &&
        str_eq(s3_request_operation(q), "PutObject"))
        require(memmem(p, body_len, "0", 1) != NULL); /* the last chunk says so */
    s3_answer_done(&a);
    s3_request_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(bucket_store_close) struct bucket_store *buckets = NULL;
    struct hub hub = {.region = "us-east-1", .url = "http://hub", .poll_ms = 1000};
    const char *p = (const char *)data, *end = p + size;
    struct err err;

    if (work_fd < 0)
        begin();
    upload_id[0] = '\0';
    require(bucket_store_open(work_fd, "s3", &buckets, &err) == 0);
    require(bucket_create(buckets, "logs", "us-east-1", &err) == 0);
    hub.store = store;
    hub.buckets = buckets;
    while (p < end) {
        const char *next = memchr(p, SEPARATOR, (size_t)(end - p));
        size_t n = (size_t)((next != NULL ? next : end) - p);
        AUTO(free) char *text = malloc(n + 1);

        require(text != NULL);
        memcpy(text, p, n);
        text[n] = '\0';
        request_one(&hub, text, n);
        p += n + 1;
    }
    require(fs_remove_tree(work_fd, "s3", &err) == 0);
    return 0;
}
