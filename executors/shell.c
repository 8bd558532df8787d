/* Script plugins: what is executed, with which environment, where, and what its end means. */
#include "executors/shell.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/str.h"

#define TIMEOUT_MIN_S 5
#define TIMEOUT_MAX_S 172800
#define TIMEOUT_DEFAULT_S 3600
#define MAX_COMMAND_BYTES                                                                          \
    (64u << 10) /* a path of quotes only, each becoming four bytes; a line                         \
                 */
#define MAX_FIRST_LINE 255
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

#define CODE_STOPPED 137
#define CODE_REBOOT 194
#define CODE_SUCCESS_AND_EXIT 168
#define CODE_FAILURE_AND_EXIT 169
#define CODE_NOT_STARTED 1
#define CODE_KILLED (-1)

struct shell_spec {
    char *args[4]; /* owned, NULL-terminated */
    size_t n_args;
    char **env; /* owned, NULL-terminated, its strings too */
    size_t n_env, cap_env;
    char cwd[PATH_MAX];
    const char *script_name; /* static */
    char *script;            /* owned */
    size_t script_len;
    int64_t limit_ms, grace_ms;
    uint64_t cap_bytes;
};

void shell_spec_free(struct shell_spec *s)
{
    size_t i;

    if (s == NULL)
        return;
    for (i = 0; i < s->n_args; i++)
        free(s->args[i]);
    for (i = 0; i < s->n_env; i++)
        free(s->env[i]);
    free(s->env);
    free(s->script);
    free(s);
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "spec of a script: out of memory");
}

static int add_arg(struct shell_spec *s, const char *text, struct err *err)
{
    char *copy = strdup(text);

    if (copy == NULL)
        return no_memory(err);
    s->args[s->n_args++] = copy;
    return 0;
}

/* --- environment: a later entry wins over an earlier one of its name ------------------------- */

static size_t find_variable(const struct shell_spec *s, const char *name, size_t n)
{
    size_t i;

    for (i = 0; i < s->n_env; i++)
        if (strncmp(s->env[i], name, n) == 0 && s->env[i][n] == '=')
            break;
    return i;
}

static void remove_variable(struct shell_spec *s, const char *name)
{
    size_t i = find_variable(s, name, strlen(name));

    if (i == s->n_env)
        return;
    free(s->env[i]);
    s->env[i] = s->env[--s->n_env];
    s->env[s->n_env] = NULL;
}

/* Takes `entry` ("NAME=value", NULL when memory was short). */
static int put_entry(struct shell_spec *s, char *entry, struct err *err)
{
    size_t i;

    if (entry == NULL)
        return no_memory(err);
    i = find_variable(s, entry, strcspn(entry, "="));
    if (i == s->n_env && s->n_env + 1 >= s->cap_env) {
        size_t cap = s->cap_env == 0 ? 64 : s->cap_env * 2;
        char **env = realloc(s->env, cap * sizeof(*env));

        if (env == NULL) {
            free(entry);
            return no_memory(err);
        }
        s->env = env;
        s->cap_env = cap;
    }
    if (i == s->n_env)
        s->env[++s->n_env] = NULL;
    else
        free(s->env[i]);
    s->env[i] = entry;
    return 0;
}

static int put_variable(struct shell_spec *s, const char *name, const char *value, struct err *err)
{
    char *entry = NULL;

    if (value == NULL)
        return 0;
    if (asprintf(&entry, "%s=%s", name, value) < 0)
        entry = NULL;
    return put_entry(s, entry, err);
}

static int make_environment(struct shell_spec *s, const struct shell_request *q, struct err *err)
{
    const struct {
        const char *name, *value;
    } ours[] = {
        {"SSM_COMMAND_ID", q->command_id},
        {"AWS_PROFILE", q->aws_profile},
        {"AWS_SHARED_CREDENTIALS_FILE", q->aws_credentials_file},
        {"AWS_SSM_INSTANCE_ID", q->instance_id},
        {"AWS_SSM_REGION_NAME", q->region},
        {"AWS_SSM_PLATFORM_NAME", q->platform_name},
        {"AWS_SSM_PLATFORM_VERSION", q->platform_version},
        {"HOME", q->kind == SHELL_POWERSHELL ? "/" : NULL},
    };
    const char *const *p;
    size_t i;
    int r = 0;

    for (p = q->base_environment; r == 0 && p != NULL && *p != NULL; p++)
        if (strchr(*p, '=') != NULL && !secret_is_variable(*p))
            r = put_entry(s, strdup(*p), err);
    for (i = 0; r == 0 && i < q->n_environment; i++)
        r = put_variable(s, q->environment[i].name, q->environment[i].value, err);
    for (i = 0; r == 0 && i < ARRAY_LEN(ours); i++)
        r = put_variable(s, ours[i].name, ours[i].value, err);
    if (r == 0 && q->kind == SHELL_POWERSHELL)
        remove_variable(s, "TERM");
    if (r == 0 && s->env == NULL) {
        s->env = calloc(1, sizeof(*s->env));
        r = s->env != NULL ? 0 : no_memory(err);
    }
    return r;
}

/* --- command line ---------------------------------------------------------------------------- */

/* One word of a shell command line, whatever stands in it. The caller looks at buf_error(). */
static void add_word(struct buf *b, const char *text, size_t n)
{
    size_t i;

    if (b->len > 0)
        (void)buf_add_char(b, ' ');
    (void)buf_add_char(b, '\'');
    for (i = 0; i < n; i++)
        (void)(text[i] == '\'' ? buf_add_str(b, "'\\''") : buf_add_char(b, text[i]));
    (void)buf_add_char(b, '\'');
}

/* As the kernel reads a first line: "#!", blanks, the interpreter, and all the rest as at most one
 * argument. Without one: sh. */
static void add_interpreter(struct buf *b, const char *script, size_t len)
{
    const char *end = script, *p = script + 2;
    size_t n;

    /* The kernel reads no further than MAX_FIRST_LINE either. */
    for (; end < script + len && end < script + MAX_FIRST_LINE; end++)
        if (*end == '\n' || *end == '\0')
            break;
    if (end - script < 2 || script[0] != '#' || script[1] != '!')
        p = end; /* nothing to read */
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (n = 0; p + n < end && p[n] != ' ' && p[n] != '\t';)
        n++;
    if (n == 0) {
        add_word(b, "sh", 2);
        return;
    }
    add_word(b, p, n);
    for (p += n; p < end && (*p == ' ' || *p == '\t');)
        p++;
    if (p < end)
        add_word(b, p, (size_t)(end - p));
}

static int make_command(struct shell_spec *s, const struct shell_request *q, struct err *err)
{
    AUTO(buf_done) struct buf command = {0};
    char path[PATH_MAX];
    int r;

    s->script_name = q->kind == SHELL_POWERSHELL ? "_script.ps1" : "_script.sh";
    if (snprintf(path, sizeof(path), "%s/%s", q->step_dir, s->script_name) >= (int)sizeof(path))
        return err_set(err, ERR_LIMIT, "path of the script: too long");
    if (q->kind == SHELL_POWERSHELL) {
        r = add_arg(s, q->powershell != NULL ? q->powershell : shell_find_powershell(""), err);
        if (r == 0)
            r = add_arg(s, "-f", err);
        return r < 0 ? r : add_arg(s, path, err);
    }
    /* `sh -c <path>` executes the file, so that its own first line counts, and without one sh reads
     * it itself with $0 = the path. Where nothing may be executed we do what the kernel would have
     * done, below the same sh: so the codes of missing interpreters and signals are the same. The
     * outer sh is part of what users see: a script that kills itself ends with its 137, and does
     * not lead the session. */
    buf_init(&command, MAX_COMMAND_BYTES);
    if (q->is_noexec)
        add_interpreter(&command, q->script, q->script_len);
    add_word(&command, path, strlen(path));
    if ((r = buf_error(&command, "command line of the script", err)) < 0 ||
        (r = add_arg(s, "sh", err)) < 0 || (r = add_arg(s, "-c", err)) < 0)
        return r;
    return add_arg(s, command.data, err);
}

static int make_script(struct shell_spec *s, const struct shell_request *q, struct err *err)
{
    size_t n = q->kind == SHELL_POWERSHELL ? strlen(BYTE_ORDER_MARK) : 0;

    s->script_len = n + q->script_len;
    s->script = malloc(s->script_len + 1);
    if (s->script == NULL)
        return no_memory(err);
    memcpy(s->script, BYTE_ORDER_MARK, n);
    if (q->script_len > 0)
        memcpy(s->script + n, q->script, q->script_len);
    s->script[s->script_len] = '\0';
    return 0;
}

static bool is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int make_cwd(struct shell_spec *s, const struct shell_request *q, struct err *err)
{
    const char *wanted = q->working_directory != NULL ? q->working_directory : "";
    int n;

    if (wanted[0] == '/')
        n = snprintf(s->cwd, sizeof(s->cwd), "%s", wanted); /* must exist: the start fails if not */
    else
        n = snprintf(s->cwd, sizeof(s->cwd), "%s%s%s",
                     q->downloads_dir != NULL ? q->downloads_dir : "", wanted[0] != '\0' ? "/" : "",
                     wanted);
    if (n >= (int)sizeof(s->cwd))
        return err_set(err, ERR_LIMIT, "working directory %.100s...: too long", wanted);
    if (wanted[0] != '/' && (q->downloads_dir == NULL || !is_directory(s->cwd)))
        (void)str_copy(s->cwd, sizeof(s->cwd), "/");
    return 0;
}

int shell_make_spec(const struct shell_request *q, struct shell_spec **ret_spec, struct err *err)
{
    AUTO(shell_spec_free) struct shell_spec *s = calloc(1, sizeof(*s));
    bool is_in_range = q->timeout_s >= TIMEOUT_MIN_S && q->timeout_s <= TIMEOUT_MAX_S;
    int r;

    if (s == NULL)
        return no_memory(err);
    s->limit_ms = (is_in_range ? q->timeout_s : TIMEOUT_DEFAULT_S) * 1000;
    s->grace_ms = q->grace_ms >= 0 ? q->grace_ms : SHELL_GRACE_MS;
    s->cap_bytes = q->cap_bytes != 0 ? q->cap_bytes : SHELL_DEFAULT_CAP_BYTES;
    if ((r = make_command(s, q, err)) < 0 || (r = make_script(s, q, err)) < 0 ||
        (r = make_cwd(s, q, err)) < 0 || (r = make_environment(s, q, err)) < 0)
        return r;
    *ret_spec = TAKE(s);
    return 0;
}

void shell_spec_fill(const struct shell_spec *s, struct step_spec *ret)
{
    ret->argv = (const char *const *)s->args;
    ret->env = (const char *const *)s->env;
    ret->cwd = s->cwd;
    ret->script_name = s->script_name;
    ret->script = s->script;
    ret->script_len = s->script_len;
    ret->limit_ms = s->limit_ms;
    ret->grace_ms = s->grace_ms;
    ret->cap_bytes = s->cap_bytes;
    ret->failure_prefix = SHELL_FAILURE_PREFIX;
}

bool shell_is_noexec(const char *dir)
{
    struct statvfs st;

    return statvfs(dir, &st) == 0 && (st.f_flag & ST_NOEXEC) != 0;
}

const char *shell_find_powershell(const char *root)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/usr/bin/powershell", root); /* cut: not found */
    return access(path, F_OK) == 0 ? "/usr/bin/powershell" : "/usr/bin/pwsh";
}

/* --- the end --------------------------------------------------------------------------------- */

static struct shell_result result_of_code(int code)
{
    static const struct {
        int code;
        const char *status;
    } known[] = {
        {0, "Success"},
        {CODE_REBOOT, "SuccessAndReboot"},
        {CODE_SUCCESS_AND_EXIT, "Success"},
        {CODE_FAILURE_AND_EXIT, "Failed"},
        {CODE_STOPPED, "TimedOut"}, /* by itself: kept as users of the reference know it */
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].code == code)
            return (struct shell_result){.status = known[i].status, .code = code};
    return (struct shell_result){.status = "Failed", .code = code};
}

struct shell_result shell_result_of(const struct step_outcome *o)
{
    struct shell_result r = {.status = "Failed"};

    switch (o->end) {
    case STEP_END_EXITED:
        r = result_of_code(o->code);
        break;
    case STEP_END_TIMED_OUT:
        r = (struct shell_result){.status = "TimedOut", .code = CODE_STOPPED};
        break;
    case STEP_END_CANCELLED: /* before it began: as any plugin (spec 04, section 5) */
        r = (struct shell_result){.status = "Cancelled",
                                  .code = o->was_started ? CODE_STOPPED : CODE_NOT_STARTED};
        break;
    case STEP_END_SIGNALED:
        r.code = CODE_KILLED;
        break;
    case STEP_END_START_FAILED:
    case STEP_END_COUNT_:
        r.code = CODE_NOT_STARTED;
        break;
    }
    r.stdout_bytes = o->out.bytes;
    r.stderr_bytes = o->err.bytes;
    if (o->end == STEP_END_TIMED_OUT || o->end == STEP_END_CANCELLED) {
        r.stdout_bytes = o->out.at_stop; /* the reference cuts output at the stop */
        r.stderr_bytes = o->err.at_stop;
    } else if (o->end == STEP_END_EXITED && o->code == CODE_SUCCESS_AND_EXIT) {
        r.stderr_bytes -= o->stderr_appended <= r.stderr_bytes ? o->stderr_appended : 0;
    }
    return r;
}
