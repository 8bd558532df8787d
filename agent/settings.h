/* The configuration that is in force: where it came from, what reloading it changes, and what is
 * logged how much and where to. The loop's thread. */
#ifndef SSMD_AGENT_SETTINGS_H
#define SSMD_AGENT_SETTINGS_H

#include <uv.h>

#include "agent/config.h"
#include "base/buf.h"

struct settings_options {
    struct config *live; /* borrowed; filled by settings_read(), and changed by a reload */
    const struct paths *paths;
    const char *program_dir;
    const char *named_file; /* --config; NULL: ours, or the reference agent's */
    const char *log_levels; /* --log, which wins over files; NULL: not given */
};

struct settings;

int settings_new(const struct settings_options *o, struct settings **ret_settings, struct err *err)
    MUST_CHECK;
void settings_free(struct settings *s); /* after the loop has run out */

/* Read the file over the defaults into *live, and log what in it is not followed. ERR_INVALID: it
 * is not JSON. */
int settings_read(struct settings *s, struct err *err) MUST_CHECK;
size_t settings_n_warnings(const struct settings *s); /* of the last reading */
/* The log's levels and file, by the options and the configuration; a log file that cannot be opened
 * is told and left out. */
void settings_apply_log(struct settings *s);
/* Follow seelog.xml: when it is written, its level counts at once. */
void settings_watch(struct settings *s, uv_loop_t *loop);
void settings_unwatch(struct settings *s); /* the handle closes with the loop's next turns */

/* Read the file again. Keys that may change are changed in *live, each with a line in the log; the
 * others are named, and wait for a restart. A file that is not JSON changes nothing. The log file
 * is opened anew. */
void settings_reload(struct settings *s);

/* The member "config" of ctl's status, as `"config":{...},`. */
void settings_add_status(const struct settings *s, struct buf *b);

#endif
