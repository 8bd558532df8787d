/* Proxy settings of the environment and the matching of no_proxy. */
#include "transport/proxy.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

static int read_one(const struct env_source *env, const char *upper, const char *lower, char **ret,
                    struct err *err)
{
    const char *value = env_get_nonempty(env, upper);

    if (value == NULL)
        value = env_get_nonempty(env, lower);
    if (value == NULL)
        return 0;
    *ret = strdup(value);
    return *ret != NULL ? 0 : err_set(err, ERR_NOMEM, "read %s: out of memory", upper);
}

int proxy_settings_read(const struct env_source *env, struct proxy_settings *ret_settings,
                        struct err *err)
{
    struct proxy_settings s = {0};
    int r;

    r = read_one(env, "HTTP_PROXY", "http_proxy", &s.http, err);
    if (r == 0)
        r = read_one(env, "HTTPS_PROXY", "https_proxy", &s.https, err);
    if (r == 0)
        r = read_one(env, "NO_PROXY", "no_proxy", &s.no_proxy, err);
    if (r < 0) {
        proxy_settings_done(&s);
        return r;
    }
    *ret_settings = s;
    return 0;
}

void proxy_settings_done(struct proxy_settings *s)
{
    free(s->http);
    free(s->https);
    free(s->no_proxy);
    *s = (struct proxy_settings){0};
}

/* An address as 16 bytes, IPv4 mapped into IPv6, so that one comparison serves both. */
static bool parse_address(const char *text, unsigned char ret_bytes[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (inet_pton(AF_INET6, text, ret_bytes) == 1)
        return true;
    memcpy(ret_bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, text, ret_bytes + 12) == 1;
}

static bool is_loopback(const char *host)
{
    static const unsigned char six[16] = {[15] = 1};
    static const unsigned char four[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    unsigned char a[16];

    if (str_eq_nocase(host, "localhost"))
        return true;
    return parse_address(host, a) &&
           (memcmp(a, six, sizeof(six)) == 0 || memcmp(a, four, sizeof(four)) == 0);
}

static bool is_in_network(const char *cidr, const char *host)
{
    char text[64];
    unsigned char network[16], address[16];
    char *slash;
    int64_t bits;
    size_t whole;

    if (!str_copy(text, sizeof(text), cidr) || (slash = strchr(text, '/')) == NULL)
        return false;
    *slash = '\0';
    if (!parse_address(text, network) || !parse_address(host, address) ||
        !str_to_i64(slash + 1, 0, strchr(text, ':') != NULL ? 128 : 32, &bits))
        return false;
    if (strchr(text, ':') == NULL)
        bits += 96;
    whole = (size_t)bits / 8;
    if (memcmp(network, address, whole) != 0)
        return false;
    return bits % 8 == 0 || ((network[whole] ^ address[whole]) >> (8 - bits % 8)) == 0;
}

/* Takes a final ":port" off `entry`. 0: there was none; an IPv6 address has none without brackets.
 */
static unsigned split_port(char *entry)
{
    char *colon = strrchr(entry, ':');
    int64_t port;

    if (entry[0] == '[') {
        char *close = strchr(entry, ']');

        if (close == NULL)
            return 0;
        colon = close[1] == ':' ? close + 1 : NULL;
        *close = '\0';
        memmove(entry, entry + 1, strlen(entry + 1) + 1);
        if (colon == NULL)
            return 0;
    } else if (colon == NULL || strchr(entry, ':') != colon) {
        return 0;
    }
    if (!str_to_i64(colon + 1, 1, 65535, &port))
        return 0;
    *colon = '\0';
    return (unsigned)port;
}

static bool has_domain(const char *host, const char *domain)
{
    size_t n = strlen(host), k = strlen(domain);

    return n > k && strcasecmp(host + n - k, domain) == 0;
}

static bool entry_matches(char *entry, const char *host, unsigned port)
{
    unsigned char a[16], b[16];
    unsigned only_port;

    if (strchr(entry, '/') != NULL)
        return is_in_network(entry, host);
    only_port = split_port(entry);
    if (*entry == '\0' || (only_port != 0 && only_port != port))
        return false;
    if (parse_address(entry, a))
        return parse_address(host, b) && memcmp(a, b, sizeof(a)) == 0;
    if (entry[0] == '*' && entry[1] == '.')
        entry++;
    if (entry[0] == '.')
        return has_domain(host, entry);
    if (str_eq_nocase(entry, host))
        return true;
    /* "example.com" is itself and its sub-domains */
    return strlen(host) > strlen(entry) && host[strlen(host) - strlen(entry) - 1] == '.' &&
           has_domain(host, entry);
}

static bool is_excluded(const char *no_proxy, const char *host, unsigned port)
{
    const char *p = no_proxy;

    while (*p != '\0') {
        size_t n;
        char entry[256];

        p += strspn(p, ", \t");
        n = strcspn(p, ",");
        if (n > 0 && n < sizeof(entry)) {
            memcpy(entry, p, n);
            while (n > 0 && (entry[n - 1] == ' ' || entry[n - 1] == '\t'))
                n--;
            entry[n] = '\0';
            if (strcmp(entry, "*") == 0 || entry_matches(entry, host, port))
                return true;
        }
        p += strcspn(p, ",");
    }
    return false;
}

const char *proxy_for(const struct proxy_settings *s, bool is_https, const char *host,
                      unsigned port)
{
    const char *proxy = is_https ? s->https : s->http;

    if (proxy == NULL || is_loopback(host))
        return NULL;
    if (s->no_proxy != NULL && is_excluded(s->no_proxy, host, port))
        return NULL;
    return proxy;
}

bool proxy_describe(const char *proxy, char *ret_text, size_t size)
{
    const char *scheme_end = strstr(proxy, "://");
    const char *start = scheme_end != NULL ? scheme_end + 3 : proxy;
    size_t authority = strcspn(start, "/");
    const char *at = memrchr(start, '@', authority);
    char scheme[16] = "http://";

    if (scheme_end != NULL) {
        size_t n = (size_t)(start - proxy);

        if (n >= sizeof(scheme))
            return str_copy(ret_text, size, "(malformed)");
        memcpy(scheme, proxy, n);
        scheme[n] = '\0';
    }
    if (at != NULL) {
        authority -= (size_t)(at + 1 - start);
        start = at + 1;
    }
    return (size_t)snprintf(ret_text, size, "%s%.*s", scheme, (int)authority, start) < size;
}
