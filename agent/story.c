/* What the log tells of a turn, kept until the turn's commit is there: the log never has a
 * transition that the journal has not. */
#define LOG_MODULE "engine"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine_internal.h"

#define MAX_BYTES (256u << 10) /* of one turn; the journal has every transition in any case */
#define KEPT_BYTES 8192u       /* the memory of a rare large turn is given back */

void story_init(struct engine *e)
{
    buf_init(&e->story, MAX_BYTES);
    e->n_untold = 0;
}

void story_add(struct engine *e, enum log_level level, const char *fmt, ...)
{
    char line[2048]; /* its level, then the text; cut is fine */
    va_list ap;

    line[0] = (char)level;
    va_start(ap, fmt);
    (void)vsnprintf(line + 1, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (buf_add(&e->story, line, strlen(line + 1) + 2) < 0)
        e->n_untold++;
}

void story_tell(struct engine *e)
{
    const char *at = buf_str(&e->story), *end = at + e->story.len;

    for (; at < end; at += strlen(at + 1) + 2)
        log_line((enum log_level) * at, LOG_MODULE, "%s", at + 1);
    if (e->n_untold > 0)
        log_warning("%zu more transitions in this turn are not told here (see: ssmctl jobs)",
                    e->n_untold);
    story_drop(e);
}

void story_drop(struct engine *e)
{
    if (e->story.cap > KEPT_BYTES)
        buf_done(&e->story);
    buf_clear(&e->story);
    e->n_untold = 0;
}
