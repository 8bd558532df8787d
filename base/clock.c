/* The clocks and their printed forms. */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define DEFAULT_BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

static struct clock_source source;

void clock_set_source(const struct clock_source *s)
{
    source = s != NULL ? *s : (struct clock_source){0};
}

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts); /* cannot fail for the clocks named here */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    return source.wall_ms != NULL ? source.wall_ms(source.ctx) : read_ms(CLOCK_REALTIME);
}

int64_t clock_boottime_ms(void)
{
    return source.boottime_ms != NULL ? source.boottime_ms(source.ctx) : read_ms(CLOCK_BOOTTIME);
}

int64_t clock_monotonic_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int clock_read_boot_id(const char *path, char ret_boot_id[BOOT_ID_SIZE], struct err *err)
{
    char text[64];
    ssize_t n;
    AUTO(close_fd) int fd = open(path != NULL ? path : DEFAULT_BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);

    if (path == NULL)
        path = DEFAULT_BOOT_ID_PATH;
    if (fd < 0)
        return err_sys(err, ERR_IO, errno, "boot id: open %s", path);
    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "boot id: read %s", path);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    if (!str_is_safe_name(text, 36))
        return err_set(err, ERR_INVALID, "boot id: %s does not hold one", path);
    (void)str_copy(ret_boot_id, BOOT_ID_SIZE, text);
    return 0;
}

void clock_format_iso_ms(int64_t unix_ms, char ret_text[ISO_MS_SIZE])
{
    int64_t s = unix_ms / 1000, ms = unix_ms % 1000;
    struct tm tm = {0};
    time_t t;
    char text[48];

    if (ms < 0) {
        ms += 1000;
        s--;
    }
    if (s < -62167219200LL)
        s = -62167219200LL;
    if (s > 253402300799LL)
        s = 253402300799LL;
    t = (time_t)s;
    (void)gmtime_r(&t, &tm); /* in range by the clamps above */
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
    memcpy(ret_text, text, ISO_MS_SIZE - 1);
    ret_text[ISO_MS_SIZE - 1] = '\0';
}

/* n digits and the character behind them; 0 for any. */
static bool take_digits(const char **p, int n, char behind, int *ret_value)
{
    int value = 0;

    for (; n > 0; n--, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        value = value * 10 + (**p - '0');
    }
    *ret_value = value;
    return behind == '\0' || *(*p)++ == behind;
}

int clock_parse_iso(const char *text, int64_t *ret_unix_ms)
{
    struct tm tm = {0};
    const char *p = text;
    int ms = 0;

    if (!take_digits(&p, 4, '-', &tm.tm_year) || !take_digits(&p, 2, '-', &tm.tm_mon) ||
        !take_digits(&p, 2, 'T', &tm.tm_mday) || !take_digits(&p, 2, ':', &tm.tm_hour) ||
        !take_digits(&p, 2, ':', &tm.tm_min) || !take_digits(&p, 2, '\0', &tm.tm_sec))
        return ERR_INVALID;
    if (*p == '.') {
        int digits = 0, scale = 100;

        for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
            ms += (*p - '0') * scale;
            scale /= 10;
        }
        if (digits == 0)
            return ERR_INVALID;
    }
    if (!str_eq(p, "Z") || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return ERR_INVALID;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *ret_unix_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return 0;
}
