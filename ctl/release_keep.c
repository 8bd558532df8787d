/* What a manifest says that this version does not know, kept when it is written anew: a later
 * ssmctl, or the source's operator, has put it there, and readers that do not know it pass over
 * it. */
#include <string.h>

#include "base/str.h"
#include "ctl/release.h"
#include "schema/json.h"

struct level {
    const char *known[9]; /* what the writer decides about; ends with NULL */
    const char *list;     /* member with the objects of the next level, or NULL */
    const char *id;       /* member that tells those apart */
};

static const struct level levels[] = {
    {{"SchemaVersion", "ManifestVersion", "Issued", "Expires", "UriFormat", "RollbackFloor",
      "Packages"},
     "Packages",
     "Name"},
    {{"Name", "Files"}, "Files", "Name"},
    {{"Name", "AvailableVersions"}, "AvailableVersions", "Version"},
    {{"Version", "Checksum", "Status", "Length", "UnpackedLength", "MinimumSourceVersion",
      "RolloutPercent", "NotBefore"},
     NULL,
     NULL},
};

static bool is_known(const struct level *level, const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(level->known) && level->known[i] != NULL; i++)
        if (str_eq(level->known[i], name))
            return true;
    return false;
}

static const cJSON *find(const cJSON *list, const char *id, const char *value)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        const char *its = cJSON_GetStringValue(json_get_exact(item, id));

        if (its != NULL && value != NULL && str_eq(its, value))
            return item;
    }
    return NULL;
}

/* False: out of memory. */
static bool keep_members(const struct level *level, const cJSON *old, cJSON *fresh)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, old)
    {
        cJSON *copy;

        if (is_known(level, item->string) || json_get_exact(fresh, item->string) != NULL)
            continue;
        copy = cJSON_Duplicate(item, true);
        if (!cJSON_AddItemToObject(fresh, item->string, copy)) {
            cJSON_Delete(copy);
            return false;
        }
    }
    return true;
}

/* Objects of one level that belong together, and all below them. */
static bool keep_level(size_t depth, const cJSON *old, cJSON *fresh)
{
    const struct level *level = &levels[depth];
    const cJSON *olds;
    cJSON *item;

    if (!keep_members(level, old, fresh))
        return false;
    if (level->list == NULL)
        return true;
    olds = json_get_exact(old, level->list);
    for (item = cJSON_GetObjectItemCaseSensitive(fresh, level->list)->child; item != NULL;
         item = item->next) {
        const cJSON *before =
            find(olds, level->id, cJSON_GetStringValue(json_get_exact(item, level->id)));

        if (before != NULL && !keep_level(depth + 1, before, item))
            return false;
    }
    return true;
}

int release_keep_unknown(const char *old, size_t n_old, struct buf *payload, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *before = NULL;
    AUTO(cJSON_Delete) cJSON *fresh = NULL;
    int r =
        json_parse(old, n_old, RELEASE_MANIFEST_MAX_BYTES, JSON_REFUSE, "manifest", &before, err);

    if (r == 0)
        r = json_parse(buf_str(payload), payload->len, RELEASE_MANIFEST_MAX_BYTES, JSON_REFUSE,
                       "manifest", &fresh, err);
    if (r < 0)
        return r;
    if (!keep_level(0, before, fresh))
        return err_set(err, ERR_NOMEM, "manifest: out of memory");
    buf_clear(payload);
    json_write(payload, fresh);
    return buf_error(payload, "manifest", err);
}
