/* Reading GitHub's answers: a file with its content, or the entries of a directory. */
#include "schema/github.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"

#define MAX_NAME_BYTES 4096u

static int protocol(int r, struct err *err)
{
    if (r != ERR_INVALID)
        return r;
    if (err != NULL)
        err->code = ERR_PROTOCOL;
    return ERR_PROTOCOL;
}

static int read_entry(const cJSON *item, struct github_entry *e, struct err *err)
{
    int r = json_want_object(item, "entry", err);

    if (r == 0)
        r = json_get_string(item, "entry", "type", 64, &e->type, err);
    if (r == 0)
        r = json_get_string(item, "entry", "name", MAX_NAME_BYTES, &e->name, err);
    if (r == 0)
        r = json_get_string(item, "entry", "path", MAX_NAME_BYTES, &e->path, err);
    if (r < 0)
        return protocol(r, err);
    /* The name becomes a file's: it must be one component. */
    if (e->type == NULL || e->name == NULL || e->path == NULL || e->name[0] == '\0' ||
        strchr(e->name, '/') != NULL || str_eq(e->name, ".") || str_eq(e->name, ".."))
        return err_set(err, ERR_PROTOCOL, "GitHub: an entry has no type, path or usable name");
    e->kind = str_eq(e->type, "file")  ? GITHUB_FILE
              : str_eq(e->type, "dir") ? GITHUB_DIRECTORY
                                       : GITHUB_OTHER;
    return 0;
}

static int read_directory(const cJSON *list, struct github_answer *a, struct err *err)
{
    const cJSON *item;
    size_t n = 0;
    int r = 0;

    cJSON_ArrayForEach(item, list) n++;
    if (n > GITHUB_MAX_ENTRIES)
        return err_set(err, ERR_LIMIT, "GitHub: a directory of %zu entries; at most %u are read", n,
                       GITHUB_MAX_ENTRIES);
    a->is_directory = true;
    a->entries = calloc(n > 0 ? n : 1, sizeof(*a->entries));
    if (a->entries == NULL)
        return err_set(err, ERR_NOMEM, "GitHub: out of memory");
    cJSON_ArrayForEach(item, list)
    {
        r = read_entry(item, &a->entries[a->n_entries++], err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Lines of base64. */
static int decode(const char *text, struct buf *ret_bytes, struct err *err)
{
    size_t n = strlen(text), k = 0, n_bytes = 0, i;
    AUTO(free) char *joined = malloc(n + 1);

    if (joined == NULL)
        return err_set(err, ERR_NOMEM, "GitHub: out of memory");
    for (i = 0; i < n; i++)
        if (text[i] != '\n' && text[i] != '\r')
            joined[k++] = text[i];
    /* In place: what is read stands before what is written nowhere. */
    if (!base64_decode(joined, k, joined, n + 1, &n_bytes))
        return err_set(err, ERR_PROTOCOL, "GitHub: a file's content is not base64");
    (void)buf_add(ret_bytes, joined, n_bytes);
    return buf_error(ret_bytes, "GitHub: a file", err);
}

static int read_file(const cJSON *item, struct github_answer *a, struct err *err)
{
    const char *encoding = NULL, *content = NULL;
    int r = read_entry(item, &a->file, err);

    if (r < 0 || a->file.kind != GITHUB_FILE)
        return r;
    r = json_get_string(item, "file", "encoding", 64, &encoding, err);
    if (r == 0)
        r = json_get_string(item, "file", "content", GITHUB_MAX_ANSWER_BYTES, &content, err);
    if (r < 0)
        return protocol(r, err);
    if (encoding != NULL && str_eq(encoding, "none"))
        return err_set(err, ERR_UNSUPPORTED,
                       "GitHub: %.200s is larger than 1 MB: the API does not give its content. "
                       "Use sourceType Git",
                       a->file.path);
    if (encoding != NULL && encoding[0] != '\0' && !str_eq(encoding, "base64"))
        return err_set(err, ERR_UNSUPPORTED, "GitHub: %.200s has the encoding \"%s\"", a->file.path,
                       encoding);
    if (encoding == NULL || encoding[0] == '\0') {
        (void)buf_add_str(&a->content, content != NULL ? content : "");
        return buf_error(&a->content, "GitHub: a file", err);
    }
    return decode(content != NULL ? content : "", &a->content, err);
}

int github_answer_parse(const char *body, size_t n, struct github_answer *ret_answer,
                        struct err *err)
{
    struct github_answer a = {.root = NULL};
    int r;

    buf_init(&a.content, GITHUB_MAX_FILE_BYTES);
    r = protocol(
        json_parse(body, n, GITHUB_MAX_ANSWER_BYTES, JSON_MEND, "answer of GitHub", &a.root, err),
        err);
    if (r == 0)
        r = cJSON_IsArray(a.root) ? read_directory(a.root, &a, err) : read_file(a.root, &a, err);
    if (r < 0) {
        github_answer_done(&a);
        return r;
    }
    *ret_answer = a;
    return 0;
}

void github_answer_done(struct github_answer *a)
{
    cJSON_Delete(a->root);
    free(a->entries);
    buf_done(&a->content);
    *a = (struct github_answer){.root = NULL};
}

void github_error_text(const char *body, size_t n, char *ret_text, size_t size)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *message = NULL;

    ret_text[0] = '\0';
    if (json_parse(body, n, GITHUB_MAX_ANSWER_BYTES, JSON_MEND, "", &root, NULL) == 0 &&
        json_get_string(root, "", "message", GITHUB_MAX_ANSWER_BYTES, &message, NULL) == 0 &&
        message != NULL)
        (void)str_copy(ret_text, size, message); /* cut is fine: it is for people */
}
