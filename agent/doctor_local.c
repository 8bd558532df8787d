/* Configuration, state directory, journal, process. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/doctor_internal.h"
#include "agent/setup.h"
#include "agent/update_internal.h"
#include "base/clock.h"
#include "base/str.h"
#include "ctl/client.h"
#include "journal/reader.h"
#include "schema/json.h"

#define LOW_SPACE_BYTES (UINT64_C(100) << 20)

#define MAX_CONFIG_LINES 20

struct lines {
    struct doctor *doctor;
    int n;
};

/* What `ssmctl config check` warns of, line by line. */
static void on_line(void *ctx, enum config_severity severity, const char *line)
{
    struct lines *l = ctx;

    if (severity == CONFIG_WARNING && l->n++ < MAX_CONFIG_LINES)
        doctor_say(l->doctor, "configuration", FINDING_WARNING, NULL, "%s", line);
}

/* Whoever has configured updates is told before the first one is due what stands against it; and
 * what he may not think of until a version does not come up. */
static void tell_of_updates(struct doctor *d)
{
    struct update_footing footing = {.manager = ""};
    struct err err;

    if (d->config.update_source[0] == '\0')
        return;
    if (update_check_place(&d->paths, &d->config, &footing, &err) < 0)
        doctor_say(d, "updates", FINDING_WARNING, NULL, "%s", err.text);
    else if (footing.manager[0] != '\0')
        doctor_say(d, "updates", FINDING_OK, NULL,
                   "by %s: there is no way back by itself if a new version does not come up, as "
                   "version slots have one",
                   footing.manager);
    else
        doctor_say(d, "updates", FINDING_OK, NULL,
                   "from version %s by %s; `ssmctl update --check` looks what is there",
                   footing.from, d->config.update_source);
}

void doctor_check_configuration(struct doctor *d)
{
    const char *path = d->config_path != NULL ? d->config_path : paths_choose_config(&d->paths);
    struct lines lines = {.doctor = d};
    struct err err;

    if (setup_read_config(&d->config, &d->paths, d->config_path, on_line, &lines, &err) < 0) {
        doctor_say(d, "configuration", FINDING_FAILED, "correct the file; ssmd does not start",
                   "%s", err.text);
        return;
    }
    if (lines.n > 0)
        doctor_say(d, "configuration", FINDING_WARNING, "ssmctl config check; ssmctl config keys",
                   "%d line%s of %s %s not do what %s", lines.n, lines.n == 1 ? "" : "s", path,
                   lines.n == 1 ? "does" : "do", lines.n == 1 ? "it says" : "they say");
    else if (access(path, F_OK) < 0)
        doctor_say(d, "configuration", FINDING_OK, NULL, "no file: defaults");
    else
        doctor_say(d, "configuration", FINDING_OK, NULL, "%s", path);
    tell_of_updates(d);
}

static void check_owner(struct doctor *d, const char *what, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        doctor_say(d, what, errno == ENOENT ? FINDING_WARNING : FINDING_FAILED,
                   errno == ENOENT ? "it is made by the first start of ssmd, or by ssmd register"
                                   : "run this as root, or as the user that ssmd runs as",
                   "%s: %s", path, strerror(errno));
        return;
    }
    if ((st.st_mode & 077) != 0 || (st.st_uid != 0 && st.st_uid != geteuid()))
        doctor_say(d, what, FINDING_FAILED, "chown root and chmod 0700",
                   "%s: owner %ld, mode %04o: others could read or change it", path,
                   (long)st.st_uid, (unsigned)(st.st_mode & 07777));
    else
        doctor_say(d, what, FINDING_OK, NULL, "%s", path);
}

void doctor_check_state(struct doctor *d)
{
    struct statvfs fs;
    uint64_t free_bytes;

    check_owner(d, "state", d->paths.state_dir);
    if (statvfs(d->paths.state_dir, &fs) < 0)
        return; /* the line above has said why */
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    doctor_say(d, "disk", free_bytes < LOW_SPACE_BYTES ? FINDING_WARNING : FINDING_OK,
               "make room: without it no new command is accepted", "%llu MiB are free",
               (unsigned long long)(free_bytes >> 20));
    if ((fs.f_flag & ST_RDONLY) != 0)
        doctor_say(d, "disk", FINDING_FAILED, "mount it for writing",
                   "%s is on a file system that is read-only", d->paths.state_dir);
}

void doctor_check_journal(struct doctor *d)
{
    const struct reader_options o = {.path = d->paths.journal};
    struct reader *reader = NULL;
    struct journal_counts n = {0};
    struct err err = {0};
    int r = reader_open(&o, &reader, &err);

    if (r == 0)
        r = reader_counts(reader, &n, &err);
    reader_close(reader);
    if (r == ERR_NOT_FOUND)
        doctor_say(d, "journal", FINDING_SKIPPED, NULL, "there is none yet");
    else if (r < 0)
        doctor_say(d, "journal", FINDING_FAILED,
                   "keep a copy of it, move it away, and start ssmd with a new one", "%s",
                   err.text);
    else
        doctor_say(d, "journal", FINDING_OK, NULL,
                   "%lld open, %lld with a reply still owed, %lld in the ledger",
                   (long long)n.n_open, (long long)n.n_unreported, (long long)n.n_ledger);
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(json_get_exact(object, name));

    return text != NULL ? text : "";
}

void doctor_check_process(struct doctor *d)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf question = {0};
    const cJSON *channel;
    struct err err;
    int r;

    buf_init(&question, 64);
    (void)buf_add_str(&question, "{\"op\":\"status\"}"); /* client_ask() looks at buf_error() */
    r = client_ask(&d->paths, &question, &answer, &err);
    if (r < 0) {
        doctor_say(d, "ssmd", FINDING_FAILED, "systemctl start ssmd; systemctl status ssmd", "%s",
                   err.text);
        return;
    }
    d->live = cJSON_DetachItemFromObjectCaseSensitive(answer, "status");
    doctor_say(d, "ssmd", FINDING_OK, NULL, "version %s runs", text_of(d->live, "version"));
    (void)str_copy(d->instance_id, sizeof(d->instance_id), text_of(d->live, "instance_id"));
    (void)str_copy(d->region, sizeof(d->region), text_of(d->live, "region")); /* as large */
    channel = json_get_exact(d->live, "channel");
    if (cJSON_IsTrue(json_get_exact(channel, "is_connected")))
        doctor_say(d, "channel", FINDING_OK, NULL, "%s is connected", text_of(channel, "name"));
    else if (channel != NULL)
        doctor_say(d, "channel", FINDING_FAILED, "see the lines below", "%s: %s",
                   text_of(channel, "name"), text_of(channel, "text"));
}
