/* Reading, reloading, and the log. */
#define LOG_MODULE "config"
#include "agent/settings.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/log_file.h"
#include "base/str.h"
#include "schema/seelog.h"

#define WAITING_BYTES 4096

struct settings {
    struct settings_options o;
    struct config as_read; /* what the file said when *live was made or changed from it */
    char path[PATH_MAX];
    size_t n_warnings;
    int64_t read_unix_ms;
    struct err last_error; /* of the last reload; code 0: it was read */
    struct buf waiting;    /* keys that a restart would change: "A.B", "C.D" as JSON */
    char levels[128];      /* in force */
    uv_fs_event_t watch;   /* of the directory of seelog.xml */
    bool is_watching;
};

int settings_new(const struct settings_options *o, struct settings **ret_settings, struct err *err)
{
    struct settings *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "configuration: out of memory");
    s->o = *o;
    buf_init(&s->waiting, WAITING_BYTES);
    *ret_settings = s;
    return 0;
}

void settings_free(struct settings *s)
{
    if (s == NULL)
        return;
    buf_done(&s->waiting);
    free(s);
}

static void on_line(void *ctx, enum config_severity severity, const char *line)
{
    struct settings *s = ctx;

    if (severity == CONFIG_WARNING)
        log_warning("%s", line);
    else
        log_info("%s", line);
    s->n_warnings += severity == CONFIG_WARNING;
}

static int read_into(struct settings *s, struct config *c, struct err *err)
{
    const char *path = s->o.named_file != NULL ? s->o.named_file : paths_choose_config(s->o.paths);

    (void)str_copy(s->path, sizeof(s->path), path); /* for people */
    s->n_warnings = 0;
    config_init(c, s->o.program_dir);
    return config_read(c, path, s->o.named_file != NULL, on_line, s, err);
}

int settings_read(struct settings *s, struct err *err)
{
    int r = read_into(s, &s->as_read, err);

    if (r < 0)
        return r;
    config_copy(s->o.live, &s->as_read);
    s->read_unix_ms = clock_wall_ms();
    return 0;
}

size_t settings_n_warnings(const struct settings *s)
{
    return s->n_warnings;
}

/* ---- the log ---- */

/* The level of the reference agent's seelog.xml, where that file is; a file that cannot be read is
 * told once here, and "info" counts. */
static const char *level_of_seelog(const struct settings *s)
{
    AUTO(buf_done) struct buf xml = {0};
    const char *level = "info";
    struct err err;
    int r;

    buf_init(&xml, SEELOG_MAX_BYTES);
    r = fs_read_file(AT_FDCWD, s->o.paths->seelog, &xml, &err);
    if (r == ERR_NOT_FOUND)
        return level;
    if (r == 0)
        r = seelog_level(buf_str(&xml), xml.len, &level, &err);
    if (r < 0)
        log_warning("%s: %s; level info counts", s->o.paths->seelog, err.text);
    return level;
}

static void apply_log_levels(struct settings *s)
{
    const char *levels = s->o.log_levels;
    struct err err;

    if (levels == NULL && s->o.live->log_levels[0] != '\0')
        levels = s->o.live->log_levels;
    if (levels == NULL)
        levels = level_of_seelog(s);
    if (str_eq(levels, s->levels))
        return;
    if (log_set_levels(levels, &err) < 0) {
        log_warning("Ssmd.LogLevels: %s", err.text);
        return;
    }
    if (s->levels[0] != '\0')
        log_info("log levels: %s", levels);
    (void)str_copy(s->levels, sizeof(s->levels), levels); /* longer ones are no levels */
}

void settings_apply_log(struct settings *s)
{
    const struct config *c = s->o.live;
    struct err err;

    apply_log_levels(s);
    if (log_file_open(c->log_file, c->log_file_max_mib << 20, c->log_file_rolls, &err) < 0)
        log_error("%s; the log goes to standard error only", err.text);
}

/* An editor writes it anew, or renames another over it: its directory tells. */
static void on_seelog(uv_fs_event_t *watch, const char *name, int events, int status)
{
    (void)events;
    if (status == 0 && (name == NULL || str_eq(name, "seelog.xml")))
        apply_log_levels(watch->data);
}

void settings_watch(struct settings *s, uv_loop_t *loop)
{
    char directory[PATH_MAX];

    (void)str_copy(directory, sizeof(directory), s->o.paths->seelog); /* of the same size */
    *strrchr(directory, '/') = '\0';
    if (uv_fs_event_init(loop, &s->watch) < 0)
        return;
    s->watch.data = s;
    s->is_watching = true;
    (void)uv_fs_event_start(&s->watch, on_seelog, directory, 0); /* no directory: nothing to see */
}

void settings_unwatch(struct settings *s)
{
    if (s->is_watching)
        uv_close((uv_handle_t *)&s->watch, NULL);
    s->is_watching = false;
}

/* ---- reload ---- */

static void on_difference(void *ctx, const struct config_key *k, bool is_taken)
{
    struct settings *s = ctx;
    char value[CONFIG_MAX_TEXT];

    if (is_taken) {
        config_value(&s->as_read, k, value, sizeof(value));
        log_info("%s.%s is %s now", k->section, k->name, value);
        return;
    }
    log_warning("%s.%s was changed in %s: that needs a restart of ssmd", k->section, k->name,
                s->path);
    (void)buf_printf(&s->waiting, "%s\"%s.%s\"", s->waiting.len > 0 ? "," : "", k->section,
                     k->name); /* more than fits were named in the log */
}

static void take_silently(void *ctx, const struct config_key *k, bool is_taken)
{
    (void)ctx, (void)k, (void)is_taken;
}

void settings_reload(struct settings *s)
{
    AUTO(free) struct config *next = calloc(1, sizeof(*next));
    struct err err = {0};
    int r = next != NULL ? read_into(s, next, &err)
                         : err_set(&err, ERR_NOMEM, "configuration: out of memory");

    s->last_error = err;
    if (r < 0) {
        log_error("%s; what was in force stays in force", err.text);
    } else {
        s->last_error.code = 0;
        s->read_unix_ms = clock_wall_ms();
        buf_clear(&s->waiting);
        config_diff(&s->as_read, next, on_difference, s);
        config_diff(s->o.live, next, take_silently, NULL);
        log_file_set_bounds(s->o.live->log_file_max_mib << 20, s->o.live->log_file_rolls);
        log_info("configuration %s was read again", s->path);
    }
    apply_log_levels(s);
    if (log_file_reopen(&err) < 0)
        log_error("%s; the log goes on where it was", err.text);
}

void settings_add_status(const struct settings *s, struct buf *b)
{
    const char *text = s->last_error.code != 0 ? s->last_error.text : "";

    (void)buf_add_str(b, "\"config\":{\"path\":");
    (void)buf_add_json_str(b, s->path, strlen(s->path));
    (void)buf_printf(b,
                     ",\"read_unix_ms\":%" PRId64 ",\"n_warnings\":%zu,\"needs_restart\":[%s],"
                     "\"text\":",
                     s->read_unix_ms, s->n_warnings, buf_str(&s->waiting));
    (void)buf_add_json_str(b, text, strlen(text));
    (void)buf_add_str(b, "},");
}
