/* The two records between ssmd and ssmd-stager, each written and read from one table. */
#include "update/stager_protocol.h"

#include <string.h>

#include "base/record.h"
#include "base/str.h"
#include "base/version.h"

#define REQUEST_KIND "stage-ask"
#define ANSWER_KIND "stage-answer"

enum kind { TEXT, NUMBER, FLAG };

struct field {
    const char *key;
    enum kind kind;
    size_t offset, size; /* size: of a text and its NUL */
};

#define TEXT_OF(type, member)                                                                      \
    {                                                                                              \
#member, TEXT, offsetof(type, member), sizeof(((type *)0)->member)                         \
    }
#define NUMBER_OF(type, member)                                                                    \
    {                                                                                              \
#member, NUMBER, offsetof(type, member), 0                                                 \
    }
#define FLAG_OF(type, member)                                                                      \
    {                                                                                              \
#member, FLAG, offsetof(type, member), 0                                                   \
    }

static const struct field request_fields[] = {
    TEXT_OF(struct stager_request, update_id),
    TEXT_OF(struct stager_request, source),
    TEXT_OF(struct stager_request, root_file),
    TEXT_OF(struct stager_request, update_dir),
    TEXT_OF(struct stager_request, slots_dir),
    TEXT_OF(struct stager_request, package),
    TEXT_OF(struct stager_request, asked),
    TEXT_OF(struct stager_request, from),
    FLAG_OF(struct stager_request, allow_downgrade),
    FLAG_OF(struct stager_request, without_package),
    TEXT_OF(struct stager_request, region),
    TEXT_OF(struct stager_request, node_id),
    TEXT_OF(struct stager_request, ca_file),
    TEXT_OF(struct stager_request, user_agent),
    NUMBER_OF(struct stager_request, limit_ms),
    NUMBER_OF(struct stager_request, stall_ms),
    TEXT_OF(struct stager_request, target),
    TEXT_OF(struct stager_request, sha256),
    NUMBER_OF(struct stager_request, length_bytes),
    NUMBER_OF(struct stager_request, manifest_version),
};

static const struct field answer_fields[] = {
    FLAG_OF(struct stager_answer, is_retry_worthwhile),
    TEXT_OF(struct stager_answer, code),
    TEXT_OF(struct stager_answer, text),
    TEXT_OF(struct stager_answer, target),
    TEXT_OF(struct stager_answer, url),
    TEXT_OF(struct stager_answer, sha256),
    NUMBER_OF(struct stager_answer, length_bytes),
    NUMBER_OF(struct stager_answer, manifest_version),
    NUMBER_OF(struct stager_answer, root_version),
};

static const char *const phases[STAGER_N_PHASES] = {
    [STAGER_CHECK] = "check",
    [STAGER_FETCH] = "fetch",
    [STAGER_VERIFY] = "verify",
    [STAGER_STAGE] = "stage",
};

static const char *const verdicts[] = {
    [STAGER_OK] = "ok",
    [STAGER_SKIP] = "skip",
    [STAGER_FAIL] = "fail",
};

static void write_fields(struct buf *b, const struct field *fields, size_t n, const void *record)
{
    const char *base = record;
    size_t i;

    for (i = 0; i < n; i++) {
        const struct field *f = &fields[i];

        if (f->kind == TEXT)
            record_add(b, f->key, base + f->offset);
        else if (f->kind == NUMBER)
            record_add_i64(b, f->key, *(const int64_t *)(const void *)(base + f->offset));
        else
            record_add_i64(b, f->key, *(const bool *)(const void *)(base + f->offset) ? 1 : 0);
    }
}

static int read_field(const struct record *r, const struct field *f, char *base, struct err *err)
{
    const char *value = record_get(r, f->key);
    int64_t number;

    if (value == NULL)
        return err_set(err, ERR_CORRUPT, "\"%s\" is missing", f->key);
    if (f->kind == TEXT)
        return str_copy(base + f->offset, f->size, value)
                   ? 0
                   : err_set(err, ERR_CORRUPT, "\"%s\" is longer than %zu bytes", f->key,
                             f->size - 1);
    if (!str_to_i64(value, 0, f->kind == FLAG ? 1 : INT64_MAX, &number))
        return err_set(err, ERR_CORRUPT, "\"%s\" is not a number that is possible there", f->key);
    if (f->kind == NUMBER)
        *(int64_t *)(void *)(base + f->offset) = number;
    else
        *(bool *)(void *)(base + f->offset) = number != 0;
    return 0;
}

static int read_fields(const struct record *r, const struct field *fields, size_t n, void *record,
                       struct err *err)
{
    size_t i;
    int rc;

    for (i = 0; i < n; i++) {
        rc = read_field(r, &fields[i], record, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The number of a name. */
static int read_name(const struct record *r, const char *key, const char *const *names, size_t n,
                     size_t *ret_number, struct err *err)
{
    const char *value = record_get(r, key);
    size_t i;

    for (i = 0; value != NULL && i < n; i++) {
        if (str_eq(value, names[i])) {
            *ret_number = i;
            return 0;
        }
    }
    return err_set(err, ERR_CORRUPT, "\"%s\" is missing or unknown", key);
}

static bool is_digest(const char *s)
{
    return strlen(s) == 64 && s[strspn(s, "0123456789abcdef")] == '\0';
}

/* What comes of the network has to be what it says, before it is stored or becomes a path. */
static int check_package(const char *target, const char *sha256, bool may_lack, struct err *err)
{
    if (!(may_lack && target[0] == '\0') && !version_is_valid(target))
        return err_set(err, ERR_CORRUPT, "\"target\" is not a version");
    if (!(may_lack && sha256[0] == '\0') && !is_digest(sha256))
        return err_set(err, ERR_CORRUPT, "\"sha256\" is not one");
    return 0;
}

static int check_request(const struct stager_request *q, struct err *err)
{
    bool has_package = q->phase == STAGER_VERIFY || q->phase == STAGER_STAGE;

    if (q->root_file[0] != '/' || q->update_dir[0] != '/' || q->slots_dir[0] != '/')
        return err_set(err, ERR_CORRUPT,
                       "a path of \"root_file\", \"update_dir\" or "
                       "\"slots_dir\" is not absolute");
    if (!version_is_valid(q->from))
        return err_set(err, ERR_CORRUPT, "\"from\" is not a version");
    return check_package(q->target, q->sha256, !has_package, err);
}

static bool is_word(const char *s)
{
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
}

static bool is_printable(const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s <= ' ' || *s > '~')
            return false;
    }
    return true;
}

static int check_answer(const struct stager_answer *a, struct err *err)
{
    if (!is_word(a->code))
        return err_set(err, ERR_CORRUPT, "\"code\" is not a word");
    if (!is_printable(a->url))
        return err_set(err, ERR_CORRUPT, "\"url\" has characters that no URL has");
    if (a->verdict != STAGER_OK && a->text[0] == '\0')
        return err_set(err, ERR_CORRUPT, "\"text\" is empty");
    return check_package(a->target, a->sha256, true, err);
}

/* In place: one '?' for each byte that is not of a printable character. */
static void make_printable(char *s)
{
    while (*s != '\0') {
        size_t n = str_utf8_len(s, strlen(s));

        if (n == 0 || (n == 1 && ((unsigned char)*s < ' ' || *s == 0x7f)) ||
            (n == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0)) {
            *s++ = '?';
            continue;
        }
        s += n;
    }
}

void stager_request_write(const struct stager_request *q, struct buf *ret_text)
{
    record_begin(ret_text, REQUEST_KIND);
    record_add(ret_text, "phase", phases[q->phase]);
    write_fields(ret_text, request_fields, ARRAY_LEN(request_fields), q);
    record_end(ret_text);
}

int stager_request_parse(const char *bytes, size_t n, struct stager_request *ret_request,
                         struct err *err)
{
    AUTO(record_done) struct record r = {.text = NULL};
    struct stager_request q = {.phase = STAGER_CHECK};
    size_t phase = 0;
    int rc;

    if ((rc = record_parse(bytes, n, REQUEST_KIND, &r, err)) < 0 ||
        (rc = read_name(&r, "phase", phases, ARRAY_LEN(phases), &phase, err)) < 0 ||
        (rc = read_fields(&r, request_fields, ARRAY_LEN(request_fields), &q, err)) < 0)
        return rc;
    q.phase = (enum stager_phase)phase;
    rc = check_request(&q, err);
    if (rc == 0)
        *ret_request = q;
    return rc;
}

void stager_answer_write(const struct stager_answer *a, struct buf *ret_text)
{
    record_begin(ret_text, ANSWER_KIND);
    record_add(ret_text, "verdict", verdicts[a->verdict]);
    write_fields(ret_text, answer_fields, ARRAY_LEN(answer_fields), a);
    record_end(ret_text);
}

int stager_answer_parse(const char *bytes, size_t n, struct stager_answer *ret_answer,
                        struct err *err)
{
    AUTO(record_done) struct record r = {.text = NULL};
    struct stager_answer a = {.verdict = STAGER_FAIL};
    size_t verdict = 0;
    int rc;

    if ((rc = record_parse(bytes, n, ANSWER_KIND, &r, err)) < 0 ||
        (rc = read_name(&r, "verdict", verdicts, ARRAY_LEN(verdicts), &verdict, err)) < 0 ||
        (rc = read_fields(&r, answer_fields, ARRAY_LEN(answer_fields), &a, err)) < 0)
        return rc;
    a.verdict = (enum stager_verdict)verdict;
    make_printable(a.text);
    rc = check_answer(&a, err);
    if (rc == 0)
        *ret_answer = a;
    return rc;
}
