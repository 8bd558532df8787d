/* Preloaded into the ssmd of a new version that is to be bad: it works, and beside that takes
 * memory for as long as it gets any. Never more than LIMIT_BYTES of address space, whatever the
 * machine has. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT_BYTES (UINT64_C(400) << 20)
#define PIECE_BYTES (1u << 20)
#define PAUSE_US 2000

static void *eat(void *arg)
{
    (void)arg;
    for (;;) {
        void *piece = malloc(PIECE_BYTES);

        if (piece != NULL)
            memset(piece, 1, PIECE_BYTES); /* kept: that is the point */
        (void)usleep(PAUSE_US);
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    const struct rlimit limit = {LIMIT_BYTES, LIMIT_BYTES};
    char self[4096] = "";
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *name = n > 0 ? strrchr(self, '/') : NULL;
    pthread_t thread;

    if (name == NULL || strcmp(name, "/ssmd.real") != 0)
        return; /* what it starts is well */
    if (setrlimit(RLIMIT_AS, &limit) < 0 || pthread_create(&thread, NULL, eat, NULL) != 0)
        _exit(98);
}
