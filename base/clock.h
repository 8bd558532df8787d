/* Time, in milliseconds, behind one seam: tests turn their own clock. Main thread.
 * Wall time is for people and for use across boots; limits run on boot time (counts suspend)
 * together with the boot id (architecture, section 9.5). */
#ifndef SSMD_BASE_CLOCK_H
#define SSMD_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define BOOT_ID_SIZE 40 /* 36 characters of a UUID and a NUL, rounded up */
#define ISO_MS_SIZE 25  /* 2006-01-02T15:04:05.000Z and a NUL */

/* The zero value is the real clock. */
struct clock_source {
    int64_t (*wall_ms)(void *ctx);
    int64_t (*boottime_ms)(void *ctx);
    void *ctx;
};

void clock_set_source(const struct clock_source *source); /* NULL: the real one; borrowed */

int64_t clock_wall_ms(void);      /* Unix time */
int64_t clock_boottime_ms(void);  /* CLOCK_BOOTTIME */
int64_t clock_monotonic_us(void); /* for measuring only; always the real one */

/* Read a boot id from `path` (normally /proc/sys/kernel/random/boot_id): 1..36 characters up to the
 * line's end, of the letters str_is_safe_name() allows. ERR_IO, ERR_INVALID. */
int clock_read_boot_id(const char *path, char ret_boot_id[BOOT_ID_SIZE], struct err *err)
    MUST_CHECK;

/* UTC, exactly three fraction digits (spec 03, section 1). Clamped to the years 0000 to 9999. */
void clock_format_iso_ms(int64_t unix_ms, char ret_text[ISO_MS_SIZE]);
/* The reverse; also accepts no fraction. ERR_INVALID. */
int clock_parse_iso(const char *text, int64_t *ret_unix_ms) MUST_CHECK;

#endif
