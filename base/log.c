/* Log lines: time, level, module, sentence. Where the descriptor is journald's own, each begins
 * with its level as sd-daemon(3) has it, which journald takes off: `journalctl -p warning` finds
 * it. */
#include "base/log.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_file.h"
#include "base/str.h"

#define MAX_MODULES 16
#define MAX_LINE 4096
#define PREFIX 3 /* "<6>" */

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const char *const level_prefixes[] = {"<3>", "<4>", "<6>", "<7>"};

static struct {
    int fd;
    bool is_asked, is_journald; /* what `fd` is */
    enum log_level level;
    size_t n_modules;
    struct {
        char name[24];
        enum log_level level;
    } modules[MAX_MODULES];
} state = {.fd = 2, .level = LOG_INFO};

void log_set_fd(int fd)
{
    state.fd = fd;
    state.is_asked = false;
}

/* systemd says which socket it has given to a service; a descriptor that leads elsewhere by now is
 * another. */
static bool is_journald(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    if (state.is_asked)
        return state.is_journald;
    state.is_asked = true;
    /* NOLINTNEXTLINE(cert-err34-c): numbers that do not fit are those of no file */
    state.is_journald = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                        fstat(state.fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
    return state.is_journald;
}

static int parse_level(const char *name, enum log_level *ret_level)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(level_names); i++)
        if (str_eq(name, level_names[i])) {
            *ret_level = (enum log_level)i;
            return 0;
        }
    return ERR_INVALID;
}

int log_set_levels(const char *spec, struct err *err)
{
    __typeof__(state) next = {.fd = state.fd, .level = LOG_INFO}; /* asked again of what it is */
    char copy[256], *part, *save = NULL;

    if (!str_copy(copy, sizeof(copy), spec))
        return err_set(err, ERR_INVALID, "log levels: longer than %zu bytes", sizeof(copy) - 1);
    for (part = strtok_r(copy, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        char *colon = strchr(part, ':');
        const char *level = colon != NULL ? colon + 1 : part;
        enum log_level *slot = &next.level;

        if (colon != NULL) {
            *colon = '\0';
            if (next.n_modules == MAX_MODULES)
                return err_set(err, ERR_INVALID, "log levels: more than %d modules", MAX_MODULES);
            if (!str_copy(next.modules[next.n_modules].name, sizeof(next.modules[0].name), part))
                return err_set(err, ERR_INVALID, "log levels: module name \"%s\" is too long",
                               part);
            slot = &next.modules[next.n_modules++].level;
        }
        if (parse_level(level, slot) < 0)
            return err_set(err, ERR_INVALID,
                           "log levels: \"%s\" is not error, warning, info or debug", level);
    }
    state = next;
    return 0;
}

static bool is_wanted(enum log_level level, const char *module)
{
    size_t i;

    for (i = 0; i < state.n_modules; i++)
        if (str_eq(state.modules[i].name, module))
            return level <= state.modules[i].level;
    return level <= state.level;
}

void log_line(enum log_level level, const char *module, const char *fmt, ...)
{
    char whole[PREFIX + MAX_LINE], *line = whole + PREFIX, when[32];
    va_list ap;
    int n, m, i, saved_errno = errno;

    if (!is_wanted(level, module))
        return;
    clock_format_iso_ms(clock_wall_ms(), when);
    n = snprintf(line, MAX_LINE, "%s %-7s %-9s ", when, level_names[level], module);
    va_start(ap, fmt);
    m = vsnprintf(line + n, MAX_LINE - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < 0 ? 0 : m;
    if (n > MAX_LINE - 2)
        n = MAX_LINE - 2;
    for (i = 0; i < n; i++) /* one event, one line, whatever a peer put into a text */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[n++] = '\n';
    memcpy(whole, level_prefixes[level], PREFIX);
    if ((is_journald() ? write(state.fd, whole, (size_t)n + PREFIX)
                       : write(state.fd, line, (size_t)n)) < 0) {
        /* a log that cannot be written must not stop the agent */
    }
    log_file_write(line, (size_t)n);
    errno = saved_errno;
}
