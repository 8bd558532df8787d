/* The nine attributes. */
#include "agent/hardware.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/str.h"
#include "transport/openssl.h"

#define PROGRAM_TIMEOUT_MS 10000
#define MAX_OUTPUT_BYTES (4u << 20)

void hardware_digest(const void *bytes, size_t n, char ret_text[FINGERPRINT_VALUE_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_MD *md5 = EVP_MD_fetch(NULL, "MD5", "-fips"); /* also where only FIPS is the default */

    ret_text[0] = '\0';
    if (md5 != NULL && EVP_Digest(bytes, n, digest, &size, md5, NULL) == 1)
        base64_encode(digest, size, ret_text);
    EVP_MD_free(md5);
}

/* ---- programs ---- */

static bool spawn(char *const argv[], int out_fd, pid_t *ret_pid)
{
    char **environment = secret_clean_environment();
    posix_spawn_file_actions_t actions;
    int r;

    if (environment == NULL)
        return false;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        free(environment);
        return false;
    }
    r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (r == 0)
        r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (r == 0)
        r = posix_spawnp(ret_pid, argv[0], &actions, NULL, argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions); /* cannot fail */
    free(environment);
    return r == 0;
}

/* Everything until its end, or until it takes too long. */
static void read_all(int fd, struct buf *out)
{
    int64_t until = clock_monotonic_us() + PROGRAM_TIMEOUT_MS * INT64_C(1000);

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = (until - clock_monotonic_us()) / 1000;
        char chunk[8192];
        ssize_t n;

        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return;
        n = read(fd, chunk, sizeof(chunk));
        if (n <= 0 || buf_add(out, chunk, (size_t)n) < 0)
            return;
    }
}

/* The output of a program that exited with 0, as a digest; else "". */
static void digest_of_program(char *const argv[], char ret[FINGERPRINT_VALUE_SIZE])
{
    AUTO(buf_done) struct buf out = {0};
    int fds[2], status = -1;
    pid_t pid = -1;
    bool is_running;

    ret[0] = '\0';
    if (pipe2(fds, O_CLOEXEC) < 0)
        return;
    buf_init(&out, MAX_OUTPUT_BYTES);
    is_running = spawn(argv, fds[1], &pid);
    (void)close(fds[1]); /* a pipe's end: nothing is lost with it */
    if (is_running) {
        read_all(fds[0], &out);
        if (waitpid(pid, &status, WNOHANG) == 0) {
            struct pollfd none = {.fd = -1};

            (void)poll(&none, 1, 50); /* it has closed its output: give it a moment to end */
            if (waitpid(pid, &status, WNOHANG) == 0) {
                (void)kill(pid, SIGKILL);
                while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                    ;
            }
        }
    }
    (void)close(fds[0]);
    if (is_running && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
        buf_error(&out, argv[0], NULL) == 0)
        hardware_digest(buf_str(&out), out.len, ret);
}

/* ---- files and interfaces ---- */

/* With its newline: the value is compared as it stands in the file. */
static void machine_id(const char *root, char ret[FINGERPRINT_VALUE_SIZE])
{
    static const char *const files[] = {"/etc/machine-id", "/var/lib/dbus/machine-id"};
    size_t i;

    ret[0] = '\0';
    for (i = 0; i < ARRAY_LEN(files); i++) {
        AUTO(buf_done) struct buf text = {0};
        char path[PATH_MAX], real[PATH_MAX];
        int r;

        buf_init(&text, FINGERPRINT_VALUE_SIZE - 1);
        (void)snprintf(path, sizeof(path), "%s%s", root, files[i]);
        r = fs_read_file(AT_FDCWD, realpath(path, real) != NULL ? real : path, &text, NULL);
        if (r == 0 && strlen(buf_str(&text)) == text.len)
            (void)str_copy(ret, FINGERPRINT_VALUE_SIZE, buf_str(&text)); /* its maximum fits */
        if (r != ERR_NOT_FOUND)
            return;
    }
}

static void interfaces(char ret_ip[FINGERPRINT_VALUE_SIZE], char ret_mac[FINGERPRINT_VALUE_SIZE])
{
    struct ifaddrs *list = NULL, *i;
    unsigned ip_index = UINT_MAX, mac_index = UINT_MAX;

    ret_ip[0] = ret_mac[0] = '\0';
    if (getifaddrs(&list) < 0)
        return;
    for (i = list; i != NULL; i = i->ifa_next) { /* in the order of the interfaces' numbers */
        unsigned index = if_nametoindex(i->ifa_name);

        if (i->ifa_addr == NULL)
            continue;
        if (i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_LOOPBACK) == 0 &&
            index < ip_index) {
            const struct sockaddr_in *in = (const void *)i->ifa_addr;

            if (inet_ntop(AF_INET, &in->sin_addr, ret_ip, FINGERPRINT_VALUE_SIZE) != NULL)
                ip_index = index;
        }
        if (i->ifa_addr->sa_family == AF_PACKET && index < mac_index) {
            const struct sockaddr_ll *ll = (const void *)i->ifa_addr;
            static const unsigned char none[6] = {0};

            if (ll->sll_halen != 6 || memcmp(ll->sll_addr, none, 6) == 0)
                continue;
            (void)snprintf(ret_mac, FINGERPRINT_VALUE_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x",
                           ll->sll_addr[0], ll->sll_addr[1], ll->sll_addr[2], ll->sll_addr[3],
                           ll->sll_addr[4], ll->sll_addr[5]);
            mac_index = index;
        }
    }
    freeifaddrs(list);
}

static void clean(char value[FINGERPRINT_VALUE_SIZE])
{
    if (!str_is_utf8(value, strlen(value)))
        value[0] = '\0';
}

void hardware_collect(const char *root, struct hardware *ret)
{
    static const struct {
        enum fingerprint_attribute attribute;
        const char *type;
    } tables[] = {{FINGERPRINT_PROCESSOR, "processor"},
                  {FINGERPRINT_MEMORY, "memory"},
                  {FINGERPRINT_BIOS, "bios"},
                  {FINGERPRINT_SYSTEM, "system"}};
    char ls[] = "ls", l[] = "-l", by_uuid[] = "/dev/disk/by-uuid";
    char *const list_disks[] = {ls, l, by_uuid, NULL};
    char host[256] = "";
    size_t i;

    memset(ret, 0, sizeof(*ret));
    machine_id(root, ret->value[FINGERPRINT_MACHINE_ID]);
    for (i = 0; i < ARRAY_LEN(tables); i++) {
        char program[] = "/usr/sbin/dmidecode", t[] = "-t", type[16];
        char *const argv[] = {program, t, type, NULL};

        (void)str_copy(type, sizeof(type), tables[i].type); /* fits */
        digest_of_program(argv, ret->value[tables[i].attribute]);
    }
    digest_of_program(list_disks, ret->value[FINGERPRINT_DISK]);
    if (gethostname(host, sizeof(host) - 1) == 0)
        (void)str_copy(ret->value[FINGERPRINT_HOST_NAME], FINGERPRINT_VALUE_SIZE, host); /* fits */
    interfaces(ret->value[FINGERPRINT_IP], ret->value[FINGERPRINT_MAC]);
    for (i = 0; i < FINGERPRINT_N; i++)
        clean(ret->value[i]);
}
