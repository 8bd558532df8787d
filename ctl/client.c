/* The client's side of ssmd's socket. */
#include "ctl/client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "schema/json.h"

/* What a failure to reach the socket means to the one who asked. */
static int explain_connect(const struct paths *paths, int sys_errno, struct err *err)
{
    if (sys_errno == ENOENT || sys_errno == ENOTDIR || sys_errno == ECONNREFUSED)
        return err_set(
            err, ERR_NETWORK,
            "ssmd is not running: nobody listens at %s; is it started, and below this --root?",
            paths->ctl_socket);
    if (sys_errno == EACCES || sys_errno == EPERM)
        return err_set(err, ERR_AUTH,
                       "ask ssmd through %s: permission denied; run ssmctl as root or as the user "
                       "that ssmd runs as",
                       paths->ctl_socket);
    return err_sys(err, ERR_SYSTEM, sys_errno, "ask ssmd through %s", paths->ctl_socket);
}

/* sun_path holds 107 bytes; a socket below a longer root is reached through its directory. */
static int connect_to(const struct paths *paths, int fd, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    AUTO(close_fd) int dir = -1;

    if (!str_copy(address.sun_path, sizeof(address.sun_path), paths->ctl_socket)) {
        dir = open(paths->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            return explain_connect(paths, errno, err);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir,
                       strrchr(paths->ctl_socket, '/') + 1);
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return explain_connect(paths, errno, err);
    return 0;
}

static int send_line(int fd, const struct buf *question, struct err *err)
{
    char end[] = "\n"; /* sendmsg() takes no const */
    struct iovec parts[] = {{question->data, question->len}, {end, 1}};
    size_t at = 0;

    while (at < ARRAY_LEN(parts)) {
        struct msghdr m = {.msg_iov = parts + at, .msg_iovlen = ARRAY_LEN(parts) - at};
        ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return err_set(err, ERR_TIMEOUT, "ssmd takes no question: nothing moved for %d s",
                           CLIENT_TIMEOUT_MS / 1000);
        if (n < 0 && errno == EPIPE)
            return 0; /* it has heard enough to answer; the answer says why */
        if (n < 0)
            return err_sys(err, ERR_SYSTEM, errno, "send the question to ssmd");
        while (n > 0 && at < ARRAY_LEN(parts)) {
            size_t k = (size_t)n < parts[at].iov_len ? (size_t)n : parts[at].iov_len;

            parts[at].iov_base = (char *)parts[at].iov_base + k;
            parts[at].iov_len -= k;
            n -= (ssize_t)k;
            if (parts[at].iov_len == 0)
                at++;
        }
    }
    return 0;
}

static int receive_line(int fd, struct buf *answer, struct err *err)
{
    char chunk[8192], *end = NULL;

    while (end == NULL) {
        ssize_t n = recv(fd, chunk, sizeof(chunk), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return err_set(err, ERR_TIMEOUT, "ssmd does not answer: waited %d s",
                           CLIENT_TIMEOUT_MS / 1000);
        if (n < 0 && errno != ECONNRESET)
            return err_sys(err, ERR_SYSTEM, errno, "receive the answer of ssmd");
        if (n <= 0)
            return err_set(err, ERR_PROTOCOL,
                           "ssmd closed the connection %s: was it stopped just now? try again",
                           answer->len == 0 ? "without an answer" : "in the middle of its answer");
        end = memchr(chunk, '\n', (size_t)n);
        if (buf_add(answer, chunk, end != NULL ? (size_t)(end - chunk) : (size_t)n) < 0)
            return buf_error(answer, "ssmd's answer", err);
    }
    return 0;
}

static int code_by_name(const char *name)
{
    int code;

    for (code = ERR_CODE_FIRST_ + 1; code < ERR_CODE_END_; code++)
        if (str_eq(err_name(code), name))
            return code;
    return ERR_SYSTEM;
}

/* {"ok":true,...} or {"ok":false,"error":{"code","text"}} */
static int judge(const cJSON *answer, struct err *err)
{
    const cJSON *error, *text;

    if (cJSON_IsTrue(json_get_exact(answer, "ok")))
        return 0;
    error = json_get_exact(answer, "error");
    text = json_get_exact(error, "text");
    if (!cJSON_IsString(text))
        return err_set(err, ERR_PROTOCOL,
                       "ssmd's answer has neither a result nor an error: are ssmctl and ssmd of "
                       "the same version?");
    return err_set(err, code_by_name(cJSON_GetStringValue(json_get_exact(error, "code"))), "%s",
                   text->valuestring);
}

int client_ask(const struct paths *paths, const struct buf *question, cJSON **ret_answer,
               struct err *err)
{
    static const struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_MS / 1000};
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf line = {0};
    AUTO(close_fd) int fd = -1;
    int r = buf_error(question, "question to ssmd", err);

    buf_init(&line, CLIENT_MAX_BYTES);
    if (r < 0)
        return r;
    if (question->len + 1 > CLIENT_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "question to ssmd: %zu bytes, at most %u are allowed",
                       question->len + 1, CLIENT_MAX_BYTES);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a socket to ask ssmd");
    if ((r = connect_to(paths, fd, err)) < 0 || (r = send_line(fd, question, err)) < 0 ||
        (r = receive_line(fd, &line, err)) < 0)
        return r;
    r = json_parse(buf_str(&line), line.len, CLIENT_MAX_BYTES, JSON_MEND, "ssmd's answer", &answer,
                   err);
    if (r == ERR_INVALID)
        err->code = r = ERR_PROTOCOL;
    if (r == 0)
        r = judge(answer, err);
    if (r == 0)
        *ret_answer = TAKE(answer);
    return r;
}
