/* Finding the journal, and one job in it. */
#include "ctl/history.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

#define MAX_LISTED 5

int history_open(const struct paths *paths, struct reader **ret_reader, struct err *err)
{
    const struct reader_options options = {.path = paths->journal};
    int r;

    err->sys_errno = 0;
    r = reader_open(&options, ret_reader, err);
    if (r == ERR_NOT_FOUND)
        return err_set(err, ERR_SYSTEM,
                       "journal %s: there is none; ssmd has not run here yet, or keeps its files "
                       "below another --root",
                       paths->journal);
    if (r < 0 && (err->sys_errno == EACCES || err->sys_errno == EPERM))
        return err_set(err, ERR_AUTH,
                       "journal %s: permission denied; run ssmctl as root or as the user that ssmd "
                       "runs as",
                       paths->journal);
    return r;
}

struct matches {
    const char *prefix;
    struct buf text;
    size_t n;
};

static int add_match(void *ctx, const struct reader_instance *i, struct err *err)
{
    struct matches *m = ctx;

    (void)err;
    if (str_has_prefix(i->id, m->prefix) && m->n++ < MAX_LISTED)
        (void)buf_printf(&m->text, "%s%s", m->n > 1 ? ", " : "",
                         i->id); /* for a text: cut is fine */
    return 0;
}

static int list_matches(struct reader *r, const char *prefix, struct err *err)
{
    static const struct reader_filter everything = {.limit = 0};
    struct matches m = {.prefix = prefix};
    int rc;

    buf_init(&m.text, 400);
    rc = reader_list(r, &everything, add_match, &m, err);
    if (rc == 0)
        rc = err_set(err, ERR_INVALID, "job %s: more than one begins so: %s%s", prefix,
                     buf_str(&m.text), m.n > MAX_LISTED ? ", ..." : "");
    buf_done(&m.text);
    return rc;
}

int history_pick(struct reader *r, const char *prefix, struct reader_instance *ret_instance,
                 struct err *err)
{
    int rc = reader_get(r, prefix, ret_instance, err);

    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND,
                       "job %s: the journal has none of this id; `ssmctl jobs --all` lists them",
                       prefix);
    return rc == ERR_INVALID ? list_matches(r, prefix, err) : rc;
}
