/* Whose turn it is to fail: the shared control file, counting, and the places of calls. */
#include "tests/lib/failing/failing.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#define MAX_FRAMES 14
#define SKIPPED_FRAMES 3 /* of this layer */

struct failing_control *failing_control;

static uint32_t this_program;
/* While we look at a stack or a path ourselves. */
static __thread int is_inside __attribute__((tls_model("initial-exec")));

void *failing_next(const char *name)
{
    void *function;

    is_inside++;
    function = dlsym(RTLD_NEXT, name);
    is_inside--;
    if (function == NULL)
        _exit(97); /* nothing works without it */
    return function;
}

static uint32_t find_program(void)
{
    char path[FAILING_PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    const char *name;

    path[n > 0 ? n : 0] = '\0';
    name = strrchr(path, '/');
    name = name != NULL ? name + 1 : path;
    if (strcmp(name, "ssmd") == 0)
        return FAILING_SSMD;
    return strncmp(name, "ssmd-runner", 11) == 0 ? FAILING_RUNNER : 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("FAILING_CONTROL");
    struct failing_control *c;
    int fd;

    this_program = file != NULL ? find_program() : 0;
    if (this_program == 0)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)syscall(SYS_close, fd);
    if (c != MAP_FAILED && c->version == FAILING_VERSION)
        failing_control = c;
}

/* ---- places ---- */

struct walk {
    uint64_t hash;
    int n;
};

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    struct dl_find_object object;
    uintptr_t at = (uintptr_t)_Unwind_GetIP(context);

    if (w->n++ < SKIPPED_FRAMES)
        return _URC_NO_REASON;
    if (_dl_find_object((void *)at, &object) == 0) /* objects lie elsewhere in each life */
        at -= (uintptr_t)object.dlfo_map_start;
    w->hash = (w->hash ^ at) * UINT64_C(1099511628211);
    return w->n >= MAX_FRAMES ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static uint64_t place_of_call(uint32_t kind)
{
    struct walk w = {.hash = UINT64_C(14695981039346656037) ^ kind ^ (uint64_t)this_program << 32};

    (void)_Unwind_Backtrace(on_frame, &w); /* as far as it comes */
    return w.hash != 0 ? w.hash : 1;
}

static void note_place(struct failing_control *c, uint64_t id, uint64_t n)
{
    uint64_t i, at;

    for (i = 0; i < FAILING_MAX_PLACES; i++) {
        uint64_t nobody = 0;

        at = (id + i) & (FAILING_MAX_PLACES - 1);
        if (__atomic_load_n(&c->places[at].id, __ATOMIC_ACQUIRE) == id)
            return;
        if (__atomic_compare_exchange_n(&c->places[at].id, &nobody, id, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            c->places[at].first = n;
            (void)__atomic_add_fetch(&c->n_places, 1, __ATOMIC_RELAXED);
            return;
        }
        if (nobody == id)
            return;
    }
}

/* ---- turns ---- */

struct stack {
    char *text;
    size_t used;
    int n;
};

static _Unwind_Reason_Code note_frame(struct _Unwind_Context *context, void *arg)
{
    struct stack *s = arg;
    struct dl_find_object object;
    uintptr_t at = (uintptr_t)_Unwind_GetIP(context);
    int n;

    if (s->n++ < SKIPPED_FRAMES || _dl_find_object((void *)at, &object) != 0)
        return _URC_NO_REASON;
    n = snprintf(s->text + s->used, FAILING_STACK_SIZE - s->used, "%s %#lx\n",
                 object.dlfo_link_map->l_name,
                 (unsigned long)(at - (uintptr_t)object.dlfo_link_map->l_addr));
    if (n > 0 && (size_t)n < FAILING_STACK_SIZE - s->used)
        s->used += (size_t)n;
    return s->n < SKIPPED_FRAMES + MAX_FRAMES ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void note_hit(struct failing_control *c, const char *name, const char *path)
{
    struct stack stack = {.text = c->stack};

    if (__atomic_fetch_add(&c->n_hits, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    (void)snprintf(c->first_hit, sizeof(c->first_hit), "%s: %s%s%s",
                   this_program == FAILING_SSMD ? "ssmd" : "runner", name, path != NULL ? " " : "",
                   path != NULL ? path : "");
    (void)_Unwind_Backtrace(note_frame, &stack);
}

/* The first that comes takes the turn. */
static bool take_turn(struct failing_control *c, uint32_t mode, uint32_t next)
{
    return __atomic_compare_exchange_n(&c->mode, &mode, next, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

bool failing_is_down(uint32_t kind)
{
    struct failing_control *c = failing_control;

    return c != NULL && (c->programs & this_program) != 0 && (c->calls & kind) != 0 &&
           __atomic_load_n(&c->mode, __ATOMIC_ACQUIRE) == FAILING_FROM_NTH &&
           __atomic_load_n(&c->n_calls, __ATOMIC_ACQUIRE) >= c->n;
}

static bool decide(struct failing_control *c, uint32_t kind)
{
    uint32_t mode = __atomic_load_n(&c->mode, __ATOMIC_ACQUIRE);
    uint64_t n = __atomic_add_fetch(&c->n_calls, 1, __ATOMIC_ACQ_REL), place = 0;

    if (c->is_placing != 0 || mode == FAILING_AT_PLACE || mode == FAILING_FROM_PLACE)
        place = place_of_call(kind);
    if (c->is_placing != 0)
        note_place(c, place, n);
    switch (mode) {
    case FAILING_NTH:
        return n >= c->n && take_turn(c, FAILING_NTH, FAILING_NEVER);
    case FAILING_FROM_NTH:
        return n >= c->n;
    case FAILING_AT_PLACE:
        return place == c->place && take_turn(c, FAILING_AT_PLACE, FAILING_NEVER);
    case FAILING_FROM_PLACE:
        if (place != c->place)
            return false;
        c->n = n;
        return take_turn(c, FAILING_FROM_PLACE, FAILING_FROM_NTH);
    default:
        return false;
    }
}

bool failing_is_due(uint32_t kind, const char *name, const char *path)
{
    struct failing_control *c = failing_control;
    bool is_due;

    if (c == NULL || is_inside != 0 || (c->programs & this_program) == 0 || (c->calls & kind) == 0)
        return false;
    is_inside++;
    is_due = decide(c, kind);
    if (is_due)
        note_hit(c, name, path);
    is_inside--;
    return is_due;
}

bool failing_fails(uint32_t kind, int otherwise, const char *name, const char *path)
{
    int before = errno;
    bool is_due = failing_is_due(kind, name, path);

    errno = before;
    if (is_due)
        errno = failing_control->error != 0 ? failing_control->error : otherwise;
    return is_due;
}

/* ---- paths ---- */

bool failing_path_of(int fd, char ret_path[FAILING_PATH_SIZE])
{
    char link[64];
    ssize_t n;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, ret_path, FAILING_PATH_SIZE - 1);
    ret_path[n > 0 ? n : 0] = '\0';
    return n > 0 && ret_path[0] == '/';
}

bool failing_path_at(int dirfd, const char *name, char ret_path[FAILING_PATH_SIZE])
{
    size_t n;

    if (name[0] == '/') {
        (void)snprintf(ret_path, FAILING_PATH_SIZE, "%s", name);
        return true;
    }
    if (dirfd == AT_FDCWD)
        return false; /* nothing of ours is opened that way */
    if (!failing_path_of(dirfd, ret_path))
        return false;
    n = strlen(ret_path);
    (void)snprintf(ret_path + n, FAILING_PATH_SIZE - n, "/%s", name);
    return true;
}

bool failing_is_below_root(const char *path)
{
    size_t n = failing_control != NULL ? strlen(failing_control->root) : 0;

    return n > 0 && strncmp(path, failing_control->root, n) == 0 &&
           (path[n] == '/' || path[n] == '\0');
}
