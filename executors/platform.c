/* What this machine is. */
#include "executors/platform.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

#define MAX_FILE_BYTES (64u << 10)
#define MAX_ADDRESSES 1024
#define BLANKS " \t\r\n\v\f"

/* The text without blanks around it, cut to the size, bytes that are not UTF-8 dropped. */
static void set_text(char *dst, const char *text, size_t n)
{
    size_t i = 0, k = 0, len;

    for (; n > 0 && strchr(BLANKS, text[n - 1]) != NULL; n--)
        ;
    for (; i < n && strchr(BLANKS, text[i]) != NULL; i++)
        ;
    while (i < n) {
        len = str_utf8_len(text + i, n - i);
        if (len == 0) {
            i++;
            continue;
        }
        if (k + len >= PLATFORM_TEXT_SIZE)
            break;
        memcpy(dst + k, text + i, len);
        i += len;
        k += len;
    }
    dst[k] = '\0';
}

/* ERR_NOT_FOUND, ERR_IO. Links are followed: /etc/os-release normally is one. */
static int read_file(const char *root, const char *name, struct buf *ret_text, struct err *err)
{
    char path[PATH_MAX], chunk[4096];
    ssize_t n;

    buf_init(ret_text, MAX_FILE_BYTES);
    if (snprintf(path, sizeof(path), "%s%s", root, name) >= (int)sizeof(path))
        return err_set(err, ERR_LIMIT, "path of %s: too long", name);
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "open %s", path);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        if (buf_add(ret_text, chunk, (size_t)n) < 0)
            return buf_error(ret_text, path, err);
    return n < 0 ? err_sys(err, ERR_IO, errno, "read %s", path) : 0;
}

/* "<name> release <version>", for example "CentOS Linux release 7.9.2009 (Core)". */
static void parse_release(const char *text, bool is_cut_at_parenthesis, struct platform *ret)
{
    const char *word = strstr(text, "release");

    if (word == NULL) {
        set_text(ret->name, text, strlen(text));
        ret->version[0] = '\0';
        return;
    }
    set_text(ret->name, text, (size_t)(word - text));
    word += strlen("release");
    set_text(ret->version, word, is_cut_at_parenthesis ? strcspn(word, "(") : strlen(word));
}

/* The value of KEY=value, quotes around it removed; "" when it is missing. The last one counts, as
 * for a shell. */
static void get_key(const char *text, const char *key, char *ret)
{
    size_t n = strlen(key);
    const char *line, *next;

    ret[0] = '\0';
    for (line = text; *line != '\0'; line = next) {
        size_t len = strcspn(line, "\n");
        const char *value = line + n + 1;

        next = line + len + (line[len] == '\n');
        if (len <= n || strncmp(line, key, n) != 0 || line[n] != '=')
            continue;
        len -= n + 1;
        for (; len > 0 && strchr(BLANKS, value[len - 1]) != NULL; len--)
            ;
        if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
            value++;
            len -= 2;
        }
        set_text(ret, value, len);
    }
}

static bool parse_centos(const char *text, struct platform *ret)
{
    if (strstr(text, "CentOS") == NULL)
        return false;
    parse_release(text, true, ret);
    return true;
}

static bool parse_os_release(const char *text, struct platform *ret)
{
    get_key(text, "NAME", ret->name);
    get_key(text, "VERSION_ID", ret->version);
    return true;
}

static bool parse_system_release(const char *text, struct platform *ret)
{
    static const char *const vendors[] = {"Amazon",   "Red Hat", "CentOS", "SLES",
                                          "Raspbian", "Oracle",  "Rocky"};
    size_t i;

    for (i = 0; i < ARRAY_LEN(vendors); i++)
        if (strstr(text, vendors[i]) != NULL) {
            parse_release(text, str_eq(vendors[i], "Red Hat"), ret);
            return true;
        }
    return false;
}

static bool parse_redhat(const char *text, struct platform *ret)
{
    if (strstr(text, "Red Hat") == NULL)
        return false;
    parse_release(text, true, ret);
    return true;
}

static bool parse_lsb(const char *text, struct platform *ret)
{
    get_key(text, "DISTRIB_ID", ret->name);
    get_key(text, "DISTRIB_RELEASE", ret->version);
    return ret->name[0] != '\0';
}

/* The first that decides counts. */
static const struct {
    const char *file;
    bool (*parse)(const char *text, struct platform *ret); /* false: go on with the next */
} sources[PLATFORM_SOURCES] = {
    {"/etc/centos-release", parse_centos}, {"/etc/bottlerocket-release", parse_os_release},
    {"/etc/os-release", parse_os_release}, {"/etc/system-release", parse_system_release},
    {"/etc/redhat-release", parse_redhat}, {"/etc/lsb-release", parse_lsb},
};

bool platform_parse(size_t source, const char *text, struct platform *ret_platform)
{
    struct platform p = {{0}, {0}};

    if (!sources[source].parse(text, &p))
        return false;
    *ret_platform = p;
    return true;
}

int platform_read(const char *root, struct platform *ret_platform, struct err *err)
{
    size_t i;

    *ret_platform = (struct platform){PLATFORM_UNKNOWN, PLATFORM_UNKNOWN};
    for (i = 0; i < ARRAY_LEN(sources); i++) {
        AUTO(buf_done) struct buf text = {0};
        int r = read_file(root, sources[i].file, &text, err);

        if (r == ERR_NOT_FOUND)
            continue;
        if (r < 0) {
            *ret_platform = (struct platform){"", ""};
            return err_wrap(err, "name of the platform");
        }
        if (platform_parse(i, buf_str(&text), ret_platform))
            return 0;
    }
    return 0;
}

/* --- name ------------------------------------------------------------------------------------ */

struct name_query {
    uv_getaddrinfo_t request;
    void (*done)(void *ctx, const char *name);
    void *ctx;
    char own[PLATFORM_TEXT_SIZE]; /* the kernel's name */
};

static void on_name(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct name_query *q = container_of(request, struct name_query, request);
    char name[PLATFORM_TEXT_SIZE] = "";

    if (status == 0 && found != NULL && found->ai_canonname != NULL)
        set_text(name, found->ai_canonname, strlen(found->ai_canonname));
    uv_freeaddrinfo(found);
    q->done(q->ctx, name[0] != '\0' ? name : q->own);
    free(q);
}

int platform_get_computer_name(uv_loop_t *loop, void (*done)(void *ctx, const char *name),
                               void *ctx, struct err *err)
{
    struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_DGRAM};
    AUTO(free) struct name_query *q = calloc(1, sizeof(*q));
    char own[PLATFORM_TEXT_SIZE] = "";
    int r;

    if (q == NULL)
        return err_set(err, ERR_NOMEM, "computer name: out of memory");
    q->done = done;
    q->ctx = ctx;
    if (gethostname(own, sizeof(own) - 1) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "computer name");
    set_text(q->own, own, strlen(own));
    r = uv_getaddrinfo(loop, &q->request, on_name, q->own, NULL, &hints);
    if (r < 0)
        return err_set(err, ERR_SYSTEM, "computer name: ask the resolver: %s", uv_strerror(r));
    q = NULL; /* the loop's until on_name() */
    return 0;
}

/* --- address --------------------------------------------------------------------------------- */

enum ip_rank { RANK_SKIP, RANK_LOCAL, RANK_GLOBAL6, RANK_GLOBAL4 };

static enum ip_rank rank_of(const struct sockaddr *a)
{
    if (a != NULL && a->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)a;
        uint32_t ip = ntohl(in->sin_addr.s_addr);

        if (ip == INADDR_ANY)
            return RANK_SKIP;
        /* 127.0.0.0/8, 169.254.0.0/16 */
        return ip >> 24 == 127 || ip >> 16 == 0xa9fe ? RANK_LOCAL : RANK_GLOBAL4;
    }
    if (a != NULL && a->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)a;

        if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
            return RANK_SKIP;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)
                   ? RANK_LOCAL
                   : RANK_GLOBAL6;
    }
    return RANK_SKIP;
}

size_t platform_choose_ip(const struct sockaddr *const *addresses, size_t n)
{
    enum ip_rank best = RANK_SKIP;
    size_t i, chosen = n;

    /* The first of the highest rank: a later one replaces only what is worse than it. */
    for (i = 0; i < n; i++) {
        enum ip_rank rank = rank_of(addresses[i]);

        if (rank > best) {
            best = rank;
            chosen = i;
        }
    }
    return chosen;
}

int platform_get_ip(char ret_ip[PLATFORM_IP_SIZE], struct err *err)
{
    const struct sockaddr *list[MAX_ADDRESSES];
    struct ifaddrs *all, *p;
    size_t n = 0, i;

    if (getifaddrs(&all) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "list the addresses of the interfaces");
    for (p = all; p != NULL && n < ARRAY_LEN(list); p = p->ifa_next)
        list[n++] = p->ifa_addr;
    i = platform_choose_ip(list, n);
    ret_ip[0] = '\0';
    if (i < n && list[i]->sa_family == AF_INET)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)list[i])->sin_addr,
                        ret_ip, PLATFORM_IP_SIZE); /* the size suffices */
    else if (i < n)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)list[i])->sin6_addr,
                        ret_ip, PLATFORM_IP_SIZE);
    freeifaddrs(all);
    return 0;
}
