/* One page after another; the rows are gathered, and told together. */
#include "transport/associations.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/json.h"
#include "transport/ssm.h"

#define MAX_PAGE_BYTES (1u << 20)
#define MAX_TOKEN_BYTES 4096

struct associations {
    struct aws *aws; /* borrowed */
    struct aws_call *call;
    cJSON *list; /* owned */
    unsigned n_pages;
    size_t n_bytes; /* of all pages */
    associations_fn done;
    void *ctx;
    char instance_id[400];
};

static int ask(struct associations *a, const char *token, struct err *err);

static void free_associations(struct associations *a)
{
    cJSON_Delete(a->list);
    free(a);
}

static void finish(struct associations *a, bool has_more, const struct err *err)
{
    a->done(a->ctx, err == NULL ? a->list : NULL, has_more, err);
    free_associations(a);
}

/* The rows of a page go over into the list. */
static int take_page(struct associations *a, cJSON *root, struct err *err)
{
    const cJSON *rows = NULL;
    cJSON *row;
    int r = json_get_list(root, "", "Associations", &rows, err);

    if (r < 0)
        return r;
    while (rows != NULL && (row = cJSON_DetachItemFromArray((cJSON *)(uintptr_t)rows, 0)) != NULL)
        (void)cJSON_AddItemToArray(a->list, row); /* cannot fail: nothing is allocated */
    return 0;
}

static void on_page(void *ctx, const struct aws_result *result)
{
    struct associations *a = ctx;
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const char *token = "";
    struct err err = {0};
    int r;

    a->call = NULL;
    if (a->n_pages == 0 && str_eq(result->error_code, "UnknownOperationException")) {
        finish(a, false, NULL);
        return;
    }
    if (result->err != NULL) {
        finish(a, false, result->err);
        return;
    }
    a->n_pages++;
    a->n_bytes += result->len;
    r = json_parse(result->body, result->len, MAX_PAGE_BYTES, JSON_REFUSE,
                   "answer of ListInstanceAssociations", &root, &err);
    if (r == 0)
        r = take_page(a, root, &err);
    if (r == 0)
        r = json_get_string(root, "", "NextToken", MAX_TOKEN_BYTES, &token, &err);
    if (r == 0 && token != NULL && token[0] != '\0') {
        if (a->n_pages == ASSOCIATIONS_MAX_PAGES || a->n_bytes > ASSOCIATIONS_MAX_BYTES) {
            finish(a, true, NULL);
            return;
        }
        r = ask(a, token, &err);
        if (r == 0)
            return;
    }
    finish(a, false, r < 0 ? &err : NULL);
}

static int ask(struct associations *a, const char *token, struct err *err)
{
    return ssm_list_instance_associations(a->aws, a->instance_id, token, on_page, a, &a->call, err);
}

int associations_list(struct aws *aws, const char *instance_id, associations_fn done, void *ctx,
                      struct associations **ret_associations, struct err *err)
{
    struct associations *a = calloc(1, sizeof(*a));
    int r = 0;

    if (a == NULL || (a->list = cJSON_CreateArray()) == NULL) {
        free(a);
        return err_set(err, ERR_NOMEM, "associations: out of memory");
    }
    a->aws = aws;
    a->done = done;
    a->ctx = ctx;
    if (!str_copy(a->instance_id, sizeof(a->instance_id), instance_id))
        r = err_set(err, ERR_LIMIT, "associations of %.60s...: its id is too long", instance_id);
    if (r == 0)
        r = ask(a, NULL, err);
    if (r < 0) {
        free_associations(a);
        return r;
    }
    *ret_associations = a;
    return 0;
}

void associations_cancel(struct associations *a)
{
    if (a == NULL)
        return;
    aws_cancel(a->call);
    free_associations(a);
}
