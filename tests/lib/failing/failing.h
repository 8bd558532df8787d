/* A layer below a whole program in which calls fail when they are told to: a shared object that is
 * preloaded (LD_PRELOAD) into ssmd and its runner. What fails is said in a file that all of them
 * map (FAILING_CONTROL names it), and that tests/reliability/failing.py writes and reads while they
 * run.
 *
 * Programs that are not meant, scripts above all, inherit the layer and are left alone. Any thread;
 * nothing here allocates. */
#ifndef SSMD_TESTS_LIB_FAILING_H
#define SSMD_TESTS_LIB_FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAILING_VERSION 1
#define FAILING_STACK_SIZE 2048
#define FAILING_PATH_SIZE 512
#define FAILING_MAX_PLACES 65536 /* a power of two */

/* Which program a call is of. */
enum { FAILING_SSMD = 1, FAILING_RUNNER = 2 };

/* What can fail. The bits of failing_control.calls. */
enum {
    FAILING_MEMORY = 1,  /* malloc and its relatives */
    FAILING_OPEN = 2,    /* a descriptor of a file */
    FAILING_FORK = 4,    /* a process or a thread */
    FAILING_SOCKET = 8,  /* a descriptor of a socket */
    FAILING_PIPE = 16,   /* pipe, socketpair, eventfd, epoll */
    FAILING_SPACE = 32,  /* below `root`: what needs a block of the disk that is not there */
    FAILING_INODES = 64, /* below `root`: what needs an inode */
    FAILING_DISK = 128,  /* below `root`: whatever changes something */
};

enum failing_mode {
    FAILING_NEVER,      /* calls are counted */
    FAILING_NTH,        /* the n-th call fails, once */
    FAILING_FROM_NTH,   /* so does every later one, until the mode is changed */
    FAILING_AT_PLACE,   /* the first call with this stack fails, once */
    FAILING_FROM_PLACE, /* and every later call, whatever its stack */
};

struct failing_place {
    uint64_t id; /* 0: free. A hash of the return addresses within their objects: the same in each
                    life */
    uint64_t first; /* the number of the first call there */
};

/* Shared by all processes; every field is naturally aligned. The harness writes the first part. */
struct failing_control {
    uint32_t version;
    uint32_t programs;
    uint32_t calls;
    uint32_t mode;
    int32_t error;       /* errno of what fails */
    uint32_t is_placing; /* note the places of calls */
    uint64_t n;
    uint64_t place;
    char root[FAILING_PATH_SIZE];

    uint64_t n_calls;
    uint64_t n_hits;
    int64_t room_bytes; /* what was given back to a disk that has no room (FAILING_SPACE) */
    uint64_t n_places;
    char first_hit[FAILING_PATH_SIZE]; /* what failed first: "pwrite /path" */
    char stack[FAILING_STACK_SIZE];    /* of that: a line for each frame, object and offset */
    struct failing_place places[FAILING_MAX_PLACES];
};

/* NULL: nothing is asked of this program. */
extern struct failing_control *failing_control;

/* Is it this call's turn to fail? Counts it. `name` and `path` (may be NULL) are for first_hit. */
bool failing_is_due(uint32_t kind, const char *name, const char *path);
/* The same, and errno is set: to `otherwise` where the harness asked for none (0). */
bool failing_fails(uint32_t kind, int otherwise, const char *name, const char *path);
/* Everything fails from now on: the state, without counting. */
bool failing_is_down(uint32_t kind);

/* The path of what a call with a directory and a name means; false when it cannot be said. */
bool failing_path_at(int dirfd, const char *name, char ret_path[FAILING_PATH_SIZE]);
bool failing_path_of(int fd, char ret_path[FAILING_PATH_SIZE]);
bool failing_is_below_root(const char *path);

/* The function behind ours. */
void *failing_next(const char *name);

#endif
