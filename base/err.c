/* Error codes, their names and classes, and the text that goes with one failure. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum err_class class;
} codes[] = {
#define ERR_ROW_(code, text, cls) [code - ERR_CODE_FIRST_ - 1] = {text, ERR_CLASS_##cls},
    ERR_CODES(ERR_ROW_)
#undef ERR_ROW_
};

static int code_index(int code)
{
    if (code <= ERR_CODE_FIRST_ || code >= ERR_CODE_END_)
        return -1;
    return code - ERR_CODE_FIRST_ - 1;
}

const char *err_name(int code)
{
    int i = code_index(code);

    return i < 0 ? (code == 0 ? "ok" : "unknown") : codes[i].name;
}

enum err_class err_class_of(int code)
{
    int i = code_index(code);

    return i < 0 ? ERR_CLASS_RETRY : codes[i].class;
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (err == NULL)
        return code;
    err->code = code;
    err->sys_errno = 0;
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap); /* a cut text is still a text */
    va_end(ap);
    return code;
}

int err_sys(struct err *err, int code, int sys_errno, const char *fmt, ...)
{
    va_list ap;
    size_t n;

    switch (sys_errno) {
    case ENOSPC:
    case EDQUOT:
        code = ERR_FULL;
        break;
    case ENOMEM:
        code = ERR_NOMEM;
        break;
    case ENOENT:
        code = ERR_NOT_FOUND;
        break;
    case EEXIST:
        code = ERR_EXISTS;
        break;
    default:
        break;
    }
    if (err == NULL)
        return code;
    err->code = code;
    err->sys_errno = sys_errno;
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    n = strlen(err->text);
    (void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(sys_errno));
    return code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char inner[sizeof(err->text)];
    va_list ap;
    size_t n;

    if (err == NULL)
        return ERR_SYSTEM;
    memcpy(inner, err->text, sizeof(inner));
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    n = strlen(err->text);
    (void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", inner);
    return err->code;
}
