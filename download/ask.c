/* Questions to ssmd over its control socket. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "download/download.h"

#define MAX_ANSWER_BYTES (8u << 20)
#define GIVE_UP_MS (INT64_C(120) * 1000)
#define PAUSE_MS 500
#define ANSWER_MS 90000 /* ssmd asks the service, with retries of its own */

/* Its path may be longer than an address can hold: through a descriptor of its directory. */
static int connect_socket(const char *path, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), dirfd = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];

    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "socket");
    if (slash == NULL || slash == path)
        return err_set(err, ERR_INVALID, "socket %s: not an absolute path", path);
    (void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
    dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return err_sys(err, ERR_NETWORK, errno, "%s", dir);
    if (snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dirfd,
                 slash + 1) >= (int)sizeof(address.sun_path))
        return err_set(err, ERR_INVALID, "socket %s: the name is too long", path);
    if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0)
        return err_set(err, ERR_NETWORK, "%s: %s", path, strerror(errno));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int read_answer(const struct download *d, int fd, struct buf *answer, struct err *err)
{
    int64_t end = clock_boottime_ms() + ANSWER_MS;
    char chunk[16384];

    while (answer->len == 0 || answer->data[answer->len - 1] != '\n') {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (d->is_stopped)
            return err_set(err, ERR_CANCELLED, "stopped");
        if (clock_boottime_ms() > end)
            return err_set(err, ERR_TIMEOUT, "ssmd does not answer");
        if (poll(&p, 1, PAUSE_MS) <= 0) /* interrupted, or nothing yet: look at the reasons again */
            continue;
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* it ends with ssmd */
            return err_set(err, ERR_NETWORK, "ssmd went away");
        if (buf_add(answer, chunk, (size_t)n) < 0)
            return buf_error(answer, "answer of ssmd", err);
        explicit_bzero(chunk, sizeof(chunk));
    }
    return 0;
}

static int code_of(const char *name)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
#define CODE_(code, text, class) {text, code},
        ERR_CODES(CODE_)
#undef CODE_
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(codes); i++)
        if (str_eq(codes[i].name, name))
            return codes[i].code;
    return ERR_PROTOCOL;
}

static int judge(const cJSON *answer, struct err *err)
{
    const cJSON *why = NULL;
    const char *code = NULL, *text = NULL;

    if (cJSON_IsTrue(json_get(answer, "ok")))
        return 0;
    if (json_get_object(answer, "", "error", &why, err) < 0 || why == NULL ||
        json_get_string(why, "", "code", 64, &code, err) < 0 ||
        json_get_string(why, "", "text", 4096, &text, err) < 0 || code == NULL || text == NULL)
        return err_set(err, ERR_PROTOCOL, "the answer of ssmd is not understood");
    return err_set(err, code_of(code), "%s", text);
}

static int ask_once(const struct download *d, const char *request, cJSON **ret_answer,
                    bool *ret_is_heard, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    struct buf text = {0};
    AUTO(close_fd) int fd = -1;
    int r = connect_socket(d->request.socket, &fd, err);

    *ret_is_heard = false;
    buf_init(&text, MAX_ANSWER_BYTES);
    if (r == 0)
        r = fs_write_all(fd, request, strlen(request), err);
    if (r == 0)
        r = read_answer(d, fd, &text, err);
    if (r == 0) {
        *ret_is_heard = true;
        r = json_parse(text.data, text.len, MAX_ANSWER_BYTES, JSON_REFUSE, "answer of ssmd",
                       &answer, err);
    }
    if (text.data != NULL)
        explicit_bzero(text.data, text.len); /* may hold a secret */
    buf_done(&text);
    if (r == 0)
        r = judge(answer, err);
    if (r == 0)
        *ret_answer = TAKE(answer);
    return r;
}

int ask(struct download *d, const char *request, cJSON **ret_answer, struct err *err)
{
    int64_t end = clock_boottime_ms() + GIVE_UP_MS;

    for (;;) {
        bool is_heard = false;
        int r = ask_once(d, request, ret_answer, &is_heard, err);

        /* Only an ssmd that is not there, or not ready, is asked again: it asks the service again
         * by itself. */
        if (r == 0 || (is_heard && r != ERR_BUSY) || r == ERR_CANCELLED ||
            clock_boottime_ms() > end)
            return r;
        (void)poll(NULL, 0, PAUSE_MS);
        if (d->is_stopped)
            return err_set(err, ERR_CANCELLED, "stopped");
    }
}

static void add_text(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, ",\"%s\":", name);
    (void)buf_add_json_str(b, value, strlen(value));
}

int ask_value(struct download *d, const char *field, struct secret *ret_value, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf request = {0};
    const char *value = NULL;
    char name[2048];
    bool is_secure = false;
    int r;

    if (!download_reference(field, name, sizeof(name), &is_secure))
        return secret_set(ret_value, field, err);
    buf_init(&request, 16384);
    (void)buf_add_str(&request, "{\"op\":\"parameter\"");
    add_text(&request, "name", name);
    (void)buf_printf(&request, ",\"secure\":%s}\n", is_secure ? "true" : "false");
    r = buf_error(&request, "question", err);
    if (r == 0)
        r = ask(d, request.data, &answer, err);
    if (r == 0)
        r = json_get_string(answer, "", "value", DOWNLOAD_MAX_TEXT_BYTES, &value, err);
    if (r == 0 && value == NULL)
        r = err_set(err, ERR_PROTOCOL, "parameter %s: ssmd gives no value", name);
    if (r == 0)
        r = secret_set(ret_value, value, err);
    if (value != NULL)
        explicit_bzero(json_get(answer, "value")->valuestring, strlen(value));
    return r;
}

int ask_document(struct download *d, const char *name, const char *version, struct buf *ret_content,
                 struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf request = {0};
    const char *content = NULL;
    int r;

    buf_init(&request, 16384);
    (void)buf_add_str(&request, "{\"op\":\"document\"");
    add_text(&request, "name", name);
    add_text(&request, "version", version);
    (void)buf_add_str(&request, "}\n");
    r = buf_error(&request, "question", err);
    if (r == 0)
        r = ask(d, request.data, &answer, err);
    if (r == 0)
        r = json_get_string(answer, "", "content", MAX_ANSWER_BYTES, &content, err);
    if (r == 0 && content == NULL)
        r = err_set(err, ERR_PROTOCOL, "document %s: ssmd gives no content", name);
    if (r < 0)
        return r;
    (void)buf_add_str(ret_content, content);
    return buf_error(ret_content, "document", err);
}
