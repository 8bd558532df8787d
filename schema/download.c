/* aws:downloadContent: what its inputs mean, and what is wrong with them. */
#include "schema/download.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

static const char blanks[] = " \t\r\n\f\v";

static const char *trim(char *s)
{
    size_t n;

    s += strspn(s, blanks);
    n = strlen(s);
    while (n > 0 && strchr(blanks, s[n - 1]) != NULL)
        s[--n] = '\0';
    return s;
}

/* A field of sourceInfo, trimmed in place. */
static int text(const cJSON *info, const char *name, const char **ret_text, struct err *err)
{
    const char *value = NULL;
    int r = json_get_string(info, "sourceInfo", name, DOWNLOAD_MAX_TEXT_BYTES, &value, err);

    if (r == 0)
        *ret_text = value != NULL ? trim(json_get(info, name)->valuestring) : "";
    return r;
}

static int needed(const cJSON *info, const char *name, const char **ret_text, struct err *err)
{
    int r = text(info, name, ret_text, err);

    return r == 0 && (*ret_text)[0] == '\0'
               ? err_set(err, ERR_INVALID, "sourceInfo.%s is missing: it must be given", name)
               : r;
}

/* true, false, or either as text. */
static int boolean(const cJSON *info, const char *name, bool *ret_value, struct err *err)
{
    const cJSON *item = json_get(info, name);

    *ret_value = false;
    if (item == NULL || cJSON_IsFalse(item) ||
        (cJSON_IsString(item) &&
         (item->valuestring[0] == '\0' || str_eq_nocase(item->valuestring, "false"))))
        return 0;
    if (!cJSON_IsTrue(item) && !(cJSON_IsString(item) && str_eq_nocase(item->valuestring, "true")))
        return err_set(err, ERR_INVALID, "sourceInfo.%s must be true or false", name);
    *ret_value = true;
    return 0;
}

/* "branch:<ref>" or "commitID:<hash>" (section 8.7). */
static int options(const cJSON *info, struct download_inputs *in, struct err *err)
{
    const char *given = "", *colon;
    int r = text(info, "getOptions", &given, err);

    if (r < 0 || given[0] == '\0')
        return r;
    colon = strchr(given, ':');
    if (colon == NULL || colon[1] == '\0' || strchr(colon + 1, ':') != NULL)
        return err_set(err, ERR_INVALID,
                       "sourceInfo.getOptions \"%.100s\": it must be branch:<name> or "
                       "commitID:<hash>",
                       given);
    if (colon[1] == '-')
        return err_set(err, ERR_INVALID,
                       "sourceInfo.getOptions \"%.100s\": a name cannot begin with a hyphen",
                       given);
    if (str_has_prefix(given, "branch:"))
        in->branch = colon + 1;
    else if (str_has_prefix(given, "commitID:"))
        in->commit = colon + 1;
    else
        return err_set(err, ERR_INVALID,
                       "sourceInfo.getOptions \"%.100s\": only branch and commitID are known",
                       given);
    return 0;
}

bool download_is_http_url(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static int read_http(const cJSON *info, struct download_inputs *in, struct err *err)
{
    const char *auth = "";
    int r;

    if ((r = needed(info, "url", &in->location, err)) < 0 ||
        (r = text(info, "authMethod", &auth, err)) < 0 ||
        (r = text(info, "username", &in->username, err)) < 0 ||
        (r = text(info, "password", &in->password, err)) < 0 ||
        (r = boolean(info, "allowInsecureDownload", &in->is_insecure_allowed, err)) < 0)
        return r;
    if (!download_is_http_url(in->location))
        return err_set(err, ERR_INVALID,
                       "sourceInfo.url must begin with http:// or https://; it is \"%.100s\"",
                       in->location);
    if (strncasecmp(in->location, "http://", 7) == 0 && !in->is_insecure_allowed)
        return err_set(err, ERR_INVALID,
                       "sourceInfo.url is not https: nobody can tell who sends what it gives. Set "
                       "allowInsecureDownload to true to download it all the same");
    if (str_eq(auth, "Basic"))
        in->auth = DOWNLOAD_AUTH_BASIC;
    else if (str_eq(auth, "Digest"))
        in->auth = DOWNLOAD_AUTH_DIGEST;
    else if (auth[0] != '\0' && !str_eq(auth, "None"))
        return err_set(err, ERR_INVALID,
                       "sourceInfo.authMethod \"%.100s\" is not supported: it must be None, Basic "
                       "or Digest",
                       auth);
    return 0;
}

static int read_git(const cJSON *info, struct download_inputs *in, struct err *err)
{
    int r;

    if ((r = needed(info, "repository", &in->location, err)) < 0 ||
        (r = text(info, "username", &in->username, err)) < 0 ||
        (r = text(info, "password", &in->password, err)) < 0 ||
        (r = text(info, "privateSSHKey", &in->private_key, err)) < 0 ||
        (r = boolean(info, "skipHostKeyChecking", &in->skips_host_key, err)) < 0 ||
        (r = options(info, in, err)) < 0)
        return r;
    if (in->location[0] == '-')
        return err_set(err, ERR_INVALID, "sourceInfo.repository \"%.100s\" is not a URL",
                       in->location);
    if (download_is_http_url(in->location) && in->private_key[0] != '\0')
        return err_set(err, ERR_INVALID,
                       "sourceInfo.privateSSHKey cannot be used with an http or https URL: give "
                       "username and password, or an ssh URL");
    if (!download_is_http_url(in->location) && (in->username[0] != '\0' || in->password[0] != '\0'))
        return err_set(err, ERR_INVALID,
                       "sourceInfo.username and password are for http and https URLs only: give "
                       "privateSSHKey, or an https URL");
    if ((in->username[0] == '\0') != (in->password[0] == '\0'))
        return err_set(err, ERR_INVALID, "sourceInfo.username and password must be given together");
    return 0;
}

static int read_github(const cJSON *info, struct download_inputs *in, struct err *err)
{
    char name[256];
    bool is_secure = false;
    size_t n;
    int r;

    if ((r = needed(info, "owner", &in->owner, err)) < 0 ||
        (r = needed(info, "repository", &in->repository, err)) < 0 ||
        (r = text(info, "path", &in->path, err)) < 0 ||
        (r = text(info, "tokenInfo", &in->token, err)) < 0 || (r = options(info, in, err)) < 0)
        return r;
    if (strstr(in->path, "..") != NULL)
        return err_set(err, ERR_INVALID, "sourceInfo.path \"%.100s\" must not hold \"..\"",
                       in->path);
    n = strlen(in->path);
    if (n > 0 &&
        in->path[n - 1] == '/') /* trimmed in place: it ends where the text in the tree does */
        json_get(info, "path")
            ->valuestring[(size_t)(in->path - json_get(info, "path")->valuestring) + n - 1] = '\0';
    if (in->token[0] != '\0' &&
        (!download_reference(in->token, name, sizeof(name), &is_secure) || !is_secure))
        return err_set(err, ERR_INVALID,
                       "sourceInfo.tokenInfo must be {{ ssm-secure:<name of a parameter> }}");
    return 0;
}

static int read_info(const cJSON *info, struct download_inputs *in, struct err *err)
{
    switch (in->source) {
    case DOWNLOAD_GITHUB:
        return read_github(info, in, err);
    case DOWNLOAD_GIT:
        return read_git(info, in, err);
    case DOWNLOAD_HTTP:
        return read_http(info, in, err);
    case DOWNLOAD_S3:
        return needed(info, "path", &in->location, err);
    case DOWNLOAD_DOCUMENT:
    default:
        return needed(info, "name", &in->location, err);
    }
}

static int read_source(const cJSON *inputs, enum download_source *ret_source, struct err *err)
{
    static const char *const names[] = {
        [DOWNLOAD_GITHUB] = "GitHub",
        [DOWNLOAD_GIT] = "Git",
        [DOWNLOAD_HTTP] = "HTTP",
        [DOWNLOAD_S3] = "S3",
        [DOWNLOAD_DOCUMENT] = "SSMDocument",
    };
    const char *type = NULL;
    size_t i;
    int r = json_get_string(inputs, "", "sourceType", 64, &type, err);

    if (r < 0)
        return r;
    if (type == NULL || type[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "sourceType is missing: it must be GitHub, Git, HTTP, S3 or SSMDocument");
    for (i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], type)) {
            *ret_source = (enum download_source)i;
            return 0;
        }
    return err_set(err, ERR_INVALID,
                   "sourceType \"%s\" is not supported: it must be GitHub, Git, HTTP, S3 or "
                   "SSMDocument",
                   type);
}

/* An object, or a text that holds one. */
static int copy_info(const cJSON *inputs, cJSON **ret_info, struct err *err)
{
    const cJSON *given = json_get(inputs, "sourceInfo");
    AUTO(cJSON_Delete) cJSON *info = NULL;
    int r = 0;

    if (cJSON_IsString(given) && given->valuestring[0] != '\0')
        r = json_parse(given->valuestring, strlen(given->valuestring), DOWNLOAD_MAX_REQUEST_BYTES,
                       JSON_REFUSE, "sourceInfo", &info, err);
    else if (cJSON_IsObject(given))
        info = cJSON_Duplicate(given, true);
    else if (given == NULL || cJSON_IsString(given))
        return err_set(err, ERR_INVALID, "sourceInfo is missing: it must say what to download");
    if (r == 0 && given != NULL && cJSON_IsObject(given) && info == NULL)
        return err_set(err, ERR_NOMEM, "sourceInfo: out of memory");
    if (r == 0)
        r = json_want_object(info != NULL ? info : given, "sourceInfo", err);
    if (r == 0 && info != NULL && info->child == NULL)
        r = err_set(err, ERR_INVALID, "sourceInfo is empty: it must say what to download");
    if (r == 0)
        *ret_info = TAKE(info);
    return r;
}

int download_inputs_parse(const cJSON *inputs, struct download_inputs *ret_inputs, struct err *err)
{
    struct download_inputs in = {.location = "",
                                 .username = "",
                                 .password = "",
                                 .private_key = "",
                                 .owner = "",
                                 .repository = "",
                                 .path = "",
                                 .token = "",
                                 .branch = "",
                                 .commit = ""};
    int r = json_want_object(inputs, "inputs of aws:downloadContent", err);

    if (r == 0)
        r = read_source(inputs, &in.source, err);
    if (r == 0)
        r = json_get_string(inputs, "", "destinationPath", 4096, &in.destination, err);
    if (r == 0 && in.destination == NULL)
        in.destination = "";
    if (r == 0)
        r = copy_info(inputs, &in.root, err);
    if (r == 0)
        r = read_info(in.root, &in, err);
    if (r < 0) {
        download_inputs_done(&in);
        return r;
    }
    *ret_inputs = in;
    return 0;
}

static void wipe(cJSON *tree)
{
    cJSON *child;

    if (tree != NULL && cJSON_IsString(tree))
        explicit_bzero(tree->valuestring, strlen(tree->valuestring));
    cJSON_ArrayForEach(child, tree) wipe(child);
}

void download_inputs_done(struct download_inputs *i)
{
    wipe(i->root);
    cJSON_Delete(i->root);
    *i = (struct download_inputs){.root = NULL};
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, blanks);
}

bool download_reference(const char *field, char *ret_name, size_t size, bool *ret_is_secure)
{
    const char *open = field;

    for (; (open = strstr(open, "{{")) != NULL; open++) {
        const char *p = skip_blanks(open + 2), *name;
        bool is_secure = str_has_prefix(p, "ssm-secure:");
        size_t n;

        if (!is_secure && !str_has_prefix(p, "ssm:"))
            continue;
        name = skip_blanks(strchr(p, ':') + 1);
        n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:");
        if (n == 0 || n >= size || !str_has_prefix(skip_blanks(name + n), "}}"))
            continue;
        memcpy(ret_name, name, n);
        ret_name[n] = '\0';
        *ret_is_secure = is_secure;
        return true;
    }
    return false;
}

/* ---- the request ---- */

#define REQUEST_TEXTS(X)                                                                           \
    X("downloads", downloads)                                                                      \
    X("socket", socket)                                                                            \
    X("region", region)                                                                            \
    X("domain", domain)                                                                            \
    X("s3_endpoint", s3_endpoint)                                                                  \
    X("github_endpoint", github_endpoint)                                                          \
    X("ca_file", ca_file)                                                                          \
    X("user_agent", user_agent)

void download_request_write(const struct download_request *q, struct buf *ret_text)
{
    const struct {
        const char *name, *text;
    } texts[] = {
#define TEXT_(key, member) {key, q->member},
        REQUEST_TEXTS(TEXT_)
#undef TEXT_
    };
    size_t i;

    (void)buf_add_char(ret_text, '{');
    for (i = 0; i < ARRAY_LEN(texts); i++) {
        const char *value = texts[i].text != NULL ? texts[i].text : "";

        (void)buf_printf(ret_text, "\"%s\":", texts[i].name);
        (void)buf_add_json_str(ret_text, value, strlen(value));
        (void)buf_add_char(ret_text, ',');
    }
    (void)buf_add_str(ret_text, "\"inputs\":");
    json_write(ret_text, q->inputs);
    (void)buf_add_str(ret_text, "}\n");
}

int download_request_parse(const char *text_, size_t n, struct download_request *ret_request,
                           struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct download_request q = {.root = NULL};
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
#define TEXT_(key, member) {key, &q.member},
        REQUEST_TEXTS(TEXT_)
#undef TEXT_
    };
    size_t i;
    int r = json_parse(text_, n, DOWNLOAD_MAX_REQUEST_BYTES, JSON_REFUSE, "request", &root, err);

    if (r == 0)
        r = json_want_object(root, "request", err);
    for (i = 0; i < ARRAY_LEN(texts) && r == 0; i++) {
        r = json_get_string(root, "request", texts[i].name, 4096, texts[i].text, err);
        if (r == 0 && *texts[i].text == NULL)
            *texts[i].text = "";
    }
    if (r == 0)
        r = json_get_object(root, "request", "inputs", &q.inputs, err);
    if (r == 0 && (q.inputs == NULL || q.downloads[0] != '/'))
        r = err_set(err, ERR_INVALID, "request: inputs or downloads are missing");
    if (r < 0)
        return r;
    q.root = TAKE(root);
    *ret_request = q;
    return 0;
}

void download_request_done(struct download_request *q)
{
    cJSON_Delete(q->root);
    *q = (struct download_request){.root = NULL};
}
