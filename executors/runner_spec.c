/* What to run, from the record `spec` on standard input. */
#include "executors/runner_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

#define MAX_MS (INT64_C(1) << 53) /* far from overflow when added to a clock */

/* All values of a key as a NULL-terminated array into the record. */
static char **collect(const struct record *r, const char *key)
{
    char **list = calloc(r->n_items + 1, sizeof(*list));
    size_t i, n = 0;

    for (i = 0; list != NULL && i < r->n_items; i++)
        if (str_eq(r->items[i].key, key))
            list[n++] = r->text + (r->items[i].value - r->text); /* items point into the text */
    return list;
}

static int read_number(const struct record *r, const char *key, int64_t max, int64_t *ret,
                       struct err *err)
{
    int64_t v;
    int rc = record_get_i64(r, key, &v, err);

    if (rc < 0)
        return rc;
    if (v < 0 || v > max)
        return err_set(err, ERR_INVALID, "record spec: %s=%lld is out of bounds", key,
                       (long long)v);
    *ret = v;
    return 0;
}

int run_read_spec(struct run *run, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    const struct record *r = &run->spec;
    const char *prefix, *boot_id;
    int64_t cap = 0;
    int rc;

    buf_init(&text, RECORD_MAX_BYTES);
    if ((rc = fs_read_fd(STDIN_FILENO, "spec on standard input", &text, err)) < 0 ||
        (rc = record_parse(buf_str(&text), text.len, STEP_RECORD_SPEC, &run->spec, err)) < 0 ||
        (rc = read_number(r, STEP_KEY_LIMIT_MS, MAX_MS, &run->limit_ms, err)) < 0 ||
        (rc = read_number(r, STEP_KEY_GRACE_MS, MAX_MS, &run->grace_ms, err)) < 0 ||
        (rc = read_number(r, STEP_KEY_CAP_BYTES, INT64_MAX, &cap, err)) < 0)
        return rc;
    run->cap_bytes = (uint64_t)cap;
    run->nofile = record_get_i64_or(r, STEP_KEY_NOFILE, -1);
    run->cwd = record_get(r, STEP_KEY_CWD);
    run->cgroup_parent = record_get(r, STEP_KEY_CGROUP_PARENT);
    if (run->cwd == NULL || run->cwd[0] != '/')
        return err_set(err, ERR_INVALID, "record spec: cwd is not an absolute path");
    prefix = record_get(r, STEP_KEY_FAILURE_PREFIX);
    boot_id = record_get(r, STEP_KEY_BOOT_ID);
    if (!str_copy(run->failure_prefix, sizeof(run->failure_prefix), prefix != NULL ? prefix : "") ||
        !str_copy(run->boot_id, sizeof(run->boot_id), boot_id != NULL ? boot_id : ""))
        return err_set(err, ERR_INVALID, "record spec: a value is too long");
    run->argv = collect(r, STEP_KEY_ARGV);
    run->env = collect(r, STEP_KEY_ENV);
    if (run->argv == NULL || run->env == NULL)
        return err_set(err, ERR_NOMEM, "record spec: out of memory");
    if (run->argv[0] == NULL)
        return err_set(err, ERR_INVALID, "record spec: no argv");
    if (run->boot_id[0] == '\0')
        return clock_read_boot_id(NULL, run->boot_id, err);
    return 0;
}

void run_free_spec(struct run *run)
{
    free(run->argv);
    free(run->env);
    record_done(&run->spec);
    run->argv = run->env = NULL;
    run->cwd = NULL;
}
