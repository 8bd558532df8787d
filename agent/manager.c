/* Telling the service manager what the agent does: READY, STATUS, STOPPING. */
#include "agent/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define VARIABLE "NOTIFY_SOCKET"
#define TELL_MS 1000 /* a storm of jobs is one line a second */

struct manager {
    uv_timer_t timer;
    uv_prepare_t prepare;
    int n_handles; /* closing; the last one frees the struct */
    int fd;        /* owned */
    struct manager_options o;
    bool was_well, is_closing;
    char told[MANAGER_TEXT_SIZE];
};

/* Best effort: nobody may be reading. */
static void send_text(const struct manager *m, const char *before, const char *text)
{
    char message[MANAGER_TEXT_SIZE + 64];
    int n = snprintf(message, sizeof(message), "%sSTATUS=%s\n", before, text);

    (void)!send(m->fd, message, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void describe(const struct manager *m, char ret_text[MANAGER_TEXT_SIZE])
{
    char *p;

    ret_text[0] = '\0';
    m->o.describe(m->o.ctx, ret_text, MANAGER_TEXT_SIZE);
    for (p = ret_text; (p = strchr(p, '\n')) != NULL;)
        *p = ' '; /* a line is a field */
}

static void tell(struct manager *m, const char *before)
{
    char text[MANAGER_TEXT_SIZE];

    describe(m, text);
    if (before[0] == '\0' && str_eq(text, m->told))
        return;
    (void)str_copy(m->told, sizeof(m->told), text); /* as large */
    send_text(m, before, text);
}

static void on_timer(uv_timer_t *timer)
{
    tell(timer->data, "");
}

void manager_note(struct manager *m)
{
    if (m != NULL && !m->is_closing && !uv_is_active((uv_handle_t *)&m->timer))
        (void)uv_timer_start(&m->timer, on_timer, TELL_MS, 0); /* cannot fail: it has a callback */
}

static void on_turn(uv_prepare_t *prepare)
{
    struct manager *m = prepare->data;
    bool is_well = m->o.is_well(m->o.ctx);

    if (is_well != m->was_well)
        manager_note(m);
    m->was_well = is_well;
}

static int open_socket(const char *path, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof(address.sun_path))
        return err_set(err, ERR_INVALID, VARIABLE "=%.100s: not the address of a socket", path);
    memcpy(address.sun_path, path, n);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* an abstract one */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        return err_sys(err, ERR_SYSTEM, errno, VARIABLE "=%.100s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int manager_new(const struct manager_options *o, struct manager **ret_manager, struct err *err)
{
    const char *path = getenv(VARIABLE);
    AUTO(free) struct manager *m = NULL;
    int r;

    *ret_manager = NULL;
    if (path == NULL || path[0] == '\0')
        return 0;
    m = calloc(1, sizeof(*m));
    if (m == NULL)
        return err_set(err, ERR_NOMEM, VARIABLE ": out of memory");
    *m = (struct manager){.fd = -1, .o = *o};
    r = open_socket(path, &m->fd, err);
    (void)unsetenv(VARIABLE); /* fails for an impossible name only */
    if (r < 0)
        return r;
    (void)uv_timer_init(o->loop, &m->timer); /* as the other two: cannot fail */
    (void)uv_prepare_init(o->loop, &m->prepare);
    m->timer.data = m->prepare.data = m;
    *ret_manager = TAKE(m);
    return 0;
}

void manager_ready(struct manager *m)
{
    if (m == NULL || m->is_closing)
        return;
    m->was_well = m->o.is_well(m->o.ctx);
    (void)uv_prepare_start(&m->prepare, on_turn); /* cannot fail: it has a callback */
    tell(m, "READY=1\n");
}

static void on_closed(uv_handle_t *handle)
{
    struct manager *m = handle->data;

    if (--m->n_handles > 0)
        return;
    close_fd_cleanup(&m->fd);
    free(m);
}

void manager_close(struct manager *m)
{
    if (m == NULL || m->is_closing)
        return;
    m->is_closing = true;
    send_text(m, "STOPPING=1\n", "stopping; what runs goes on and is taken up at the next start");
    m->n_handles = 2;
    uv_close((uv_handle_t *)&m->timer, on_closed);
    uv_close((uv_handle_t *)&m->prepare, on_closed);
}
