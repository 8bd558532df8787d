/* The walk over the kinds of identity. */
#define LOG_MODULE "identity"
#include "agent/node.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/hybrid.h"
#include "base/backoff.h"
#include "base/fs.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "transport/container.h"
#include "transport/instance_role.h"

#define FIRST_PAUSE_MS 1000
#define MAX_PAUSE_MS 20000
#define N_KINDS 4
#define EC2_REGISTER_FIRST_MS INT64_C(30000) /* halved at random */
#define EC2_REGISTER_CAP_MS (INT64_C(65536) * 1000)

struct node_finder {
    struct node_finder_options o;
    struct http *http;
    struct aws *aws; /* of the node's region, to get its credentials with */
    struct imds *imds;
    struct imds_call *imds_call;
    struct container_ask *container;
    struct hybrid *hybrid;
    struct credentials_provider *instance_identity; /* EC2 */
    struct rsa_key *instance_key;                   /* owned; of the EC2 registration */
    uv_timer_t timer;                               /* its close frees the struct */
    struct backoff backoff;
    size_t at;      /* of the order: what is being tried */
    size_t n_field; /* EC2: which value is being read */
    bool is_walking, is_known, is_closing, was_told;
    struct node node;
    struct {
        char kind[32];
        char text[400]; /* why not, or "this node" */
    } tried[N_KINDS];
    size_t n_tried;
    struct backoff enrol_backoff;
};

static void try_next(struct node_finder *f);

static void note(struct node_finder *f, const char *kind, const char *text)
{
    if (f->n_tried == N_KINDS)
        return;
    (void)str_copy(f->tried[f->n_tried].kind, sizeof(f->tried[0].kind), kind); /* for people */
    (void)str_copy(f->tried[f->n_tried].text, sizeof(f->tried[0].text), text);
    f->n_tried++;
}

/* ---- what the firmware says ---- */

static void read_word(const char *root, const char *path, char *ret, size_t size)
{
    AUTO(buf_done) struct buf text = {0};
    char full[PATH_MAX], real[PATH_MAX];
    size_t i, n;

    ret[0] = '\0';
    buf_init(&text, 4096);
    (void)snprintf(full, sizeof(full), "%s%s", root, path);
    if (fs_read_file(AT_FDCWD, realpath(full, real) != NULL ? real : full, &text, NULL) < 0)
        return;
    n = strcspn(buf_str(&text), "\r\n");
    for (i = 0; i < n && i + 1 < size; i++)
        ret[i] = (char)tolower((unsigned char)text.data[i]);
    ret[i] = '\0';
}

/* ec2xxxxx-... , or the same with its first bytes swapped. */
static bool is_ec2_uuid(const char *uuid)
{
    return ids_is_uuid(uuid) && (str_has_prefix(uuid, "ec2") || strncmp(uuid + 4, "2", 1) == 0) &&
           (str_has_prefix(uuid, "ec2") || strncmp(uuid + 6, "ec", 2) == 0);
}

bool node_is_ec2_hardware(const char *root)
{
    char vendor[64], uuid[64], extra[64];

    read_word(root, "/sys/class/dmi/id/sys_vendor", vendor, sizeof(vendor));
    if (str_eq(vendor, "amazon ec2"))
        return true; /* the vendor's name is enough: the UUID is for root's eyes only */
    read_word(root, "/sys/hypervisor/version/extra", extra, sizeof(extra));
    read_word(root, "/sys/hypervisor/uuid", uuid, sizeof(uuid));
    return str_has_suffix(extra, ".amazon") && is_ec2_uuid(uuid);
}

/* ---- found ---- */

static void changed(void *ctx)
{
    struct node_finder *f = ctx;

    if (f->o.changed != NULL)
        f->o.changed(f->o.ctx);
}

static int make_aws(struct node_finder *f, struct err *err)
{
    const struct config *c = f->o.config;
    struct aws_options ao = {.http = f->http,
                             .region = f->node.region,
                             .signing_region = c->region,
                             .domain = c->service_domain};

    ao.endpoints[AWS_SSM] = c->ssm_endpoint;
    return f->aws != NULL ? 0 : aws_new(f->o.loop, &ao, &f->aws, err);
}

/* `inner` is taken over, also on failure. */
static int take_credentials(struct node_finder *f, struct credentials_provider *inner,
                            struct err *err)
{
    return credentials_watched_new(f->o.loop, inner, changed, f, &f->node.credentials, err);
}

static void be(struct node_finder *f, const char *kind)
{
    f->node.kind = kind;
    f->is_known = true;
    f->is_walking = false;
    note(f, kind, "this node");
    log_info("this node is %s in %s, by %s", f->node.instance_id, f->node.region, kind);
    f->o.found(f->o.ctx, &f->node);
}

static void fail(struct node_finder *f, const char *kind, const struct err *err)
{
    note(f, kind, err->text);
    f->at++;
    try_next(f);
}

/* ---- OnPrem ---- */

static int try_hybrid(struct node_finder *f, struct err *err)
{
    const struct config *c = f->o.config;
    struct hybrid_options ho = {.loop = f->o.loop, .config = c, .registrar = f->o.registrar};
    const struct registration *g =
        f->o.registrar != NULL ? registrar_current(f->o.registrar, VAULT_HYBRID) : NULL;
    struct credentials_provider *p = NULL;
    int r;

    if (f->o.registrar == NULL)
        return err_set(err, ERR_NOT_FOUND, "not registered (see: ssmd register --help)");
    if (g == NULL) {
        r = registrar_import(f->o.registrar, VAULT_HYBRID, err);
        if (r == ERR_NOT_FOUND)
            return err_set(err, ERR_NOT_FOUND, "not registered (see: ssmd register --help)");
        if (r < 0)
            return r;
        log_info("the registration of amazon-ssm-agent was taken over");
        g = registrar_current(f->o.registrar, VAULT_HYBRID);
    }
    (void)str_copy(f->node.instance_id, sizeof(f->node.instance_id), g->node_id); /* larger */
    (void)str_copy(f->node.region, sizeof(f->node.region), g->region);            /* as large */
    (void)str_copy(f->node.availability_zone, sizeof(f->node.availability_zone), "OnPrem");
    (void)str_copy(f->node.instance_type, sizeof(f->node.instance_type), "OnPrem");
    r = make_aws(f, err);
    ho.aws = f->aws;
    if (r == 0)
        r = hybrid_new(&ho, &f->hybrid, &p, err);
    if (r == 0)
        r = take_credentials(f, p, err);
    if (r == 0 && c->share_credentials) {
        if (snprintf(f->node.share_file, sizeof(f->node.share_file),
                     "%s/" VAULT_DIR "/" HYBRID_SHARE_FILE,
                     f->o.paths->state_dir) >= (int)sizeof(f->node.share_file))
            f->node.share_file[0] = '\0'; /* a path that nobody could open */
        (void)str_copy(f->node.share_profile, sizeof(f->node.share_profile), c->share_profile);
    }
    return r;
}

/* ---- EC2 ---- */

static const struct {
    const char *path;
    size_t offset, size;
    bool is_needed;
} ec2_fields[] = {
#define FIELD(path, member, is_needed)                                                             \
    {                                                                                              \
        path, offsetof(struct node, member), sizeof(((struct node *)0)->member), is_needed         \
    }
    FIELD("/latest/meta-data/instance-id", instance_id, true),
    FIELD("/latest/dynamic/instance-identity/document", region, true),
    FIELD("/latest/meta-data/placement/availability-zone", availability_zone, false),
    FIELD("/latest/meta-data/placement/availability-zone-id", availability_zone_id, false),
    FIELD("/latest/meta-data/instance-type", instance_type, false),
#undef FIELD
};

static const struct rsa_key *instance_key(void *ctx)
{
    struct node_finder *f = ctx;
    const struct registration *g =
        f->o.registrar != NULL ? registrar_current(f->o.registrar, VAULT_EC2) : NULL;
    struct err err;

    if (g == NULL || !str_eq(g->node_id, f->node.instance_id))
        return NULL;
    if (f->instance_key == NULL &&
        vault_read_key(registrar_vault(f->o.registrar), g->key_id, &f->instance_key, &err) < 0)
        log_warning("key of the instance: %s", err.text);
    return f->instance_key;
}

static void enrol_instance(struct node_finder *f);

static void on_enrol_timer(uv_timer_t *timer)
{
    enrol_instance(container_of(timer, struct node_finder, timer));
}

static void on_enrolled(void *ctx, const char *node_id, const struct err *err)
{
    struct node_finder *f = ctx;

    (void)node_id; /* its own */
    if (err == NULL) {
        rsa_key_free(f->instance_key);
        f->instance_key = NULL; /* read when it is needed */
        return;
    }
    if (err->code == ERR_CANCELLED)
        return;
    log_debug("registration of the instance: %s", err->text);
    if (err->code == ERR_EXISTS || f->is_closing)
        return; /* with a key that is not ours: nothing that trying again would change */
    (void)uv_timer_start(&f->timer, on_enrol_timer,
                         (uint64_t)backoff_fail_ms(&f->enrol_backoff, ids_random32()), 0);
}

/* An instance registers itself, for Default Host Management (spec 01, section 4.3). In the
 * background: an instance profile needs none of it. */
static void enrol_instance(struct node_finder *f)
{
    const struct registration *g = registrar_current(f->o.registrar, VAULT_EC2);
    const struct registrar_request q = {.region = f->node.region,
                                        .credentials = f->instance_identity,
                                        .aws = f->aws,
                                        .instance_id = f->node.instance_id};
    struct err err;

    if (g == NULL && registrar_import(f->o.registrar, VAULT_EC2, &err) == 0)
        g = registrar_current(f->o.registrar, VAULT_EC2);
    if (g != NULL && str_eq(g->node_id, f->node.instance_id))
        return;
    if (registrar_register(f->o.registrar, &q, on_enrolled, f, &err) < 0)
        log_debug("registration of the instance: %s", err.text);
}

static int be_instance(struct node_finder *f, struct err *err)
{
    struct instance_role_options ro = {.imds = f->imds,
                                       .instance_id = f->node.instance_id,
                                       .agent_version = f->o.config->agent_version,
                                       .key = instance_key,
                                       .ctx = f};
    struct credentials_provider *p = NULL;
    int r = make_aws(f, err);

    if (r == 0)
        r = instance_identity_new(f->o.loop, f->imds, &f->instance_identity, err);
    ro.aws = f->aws;
    ro.identity = f->instance_identity;
    if (r == 0)
        r = instance_role_new(f->o.loop, &ro, &p, err);
    return r < 0 ? r : take_credentials(f, p, err);
}

static void read_field(struct node_finder *f);

static void on_field(void *ctx, const struct imds_answer *answer)
{
    struct node_finder *f = ctx;
    size_t size = ec2_fields[f->n_field].size;
    char *dst = (char *)&f->node + ec2_fields[f->n_field].offset;
    struct err err = {0};
    int r;

    f->imds_call = NULL;
    if (answer->err != NULL) {
        err = *answer->err;
        r = err.code;
    } else if (dst == f->node.region) {
        r = imds_parse_region(answer->body, answer->len, dst, size, &err);
    } else {
        r = imds_parse_line(answer->body, answer->len, dst, size, &err);
    }
    if (r == 0 && dst == f->node.instance_id && !str_is_safe_name(dst, 100))
        r = err_set(&err, ERR_PROTOCOL, "instance-id \"%.60s\" is none", dst);
    if (r < 0 && ec2_fields[f->n_field].is_needed) {
        fail(f, "EC2", &err);
        return;
    }
    if (++f->n_field < ARRAY_LEN(ec2_fields)) {
        read_field(f);
        return;
    }
    r = be_instance(f, &err);
    if (r < 0) {
        fail(f, "EC2", &err);
        return;
    }
    be(f, "EC2");
    if (!f->o.is_once)
        enrol_instance(f);
}

static void read_field(struct node_finder *f)
{
    struct err err;

    if (imds_get(f->imds, ec2_fields[f->n_field].path, on_field, f, &f->imds_call, &err) < 0)
        fail(f, "EC2", &err);
}

static int open_imds(struct node_finder *f, struct err *err)
{
    const struct imds_options io = {
        .http = f->http, .env = f->o.env, .is_v1_allowed = f->o.config->imds_v1};

    return f->imds != NULL ? 0 : imds_new(f->o.loop, &io, &f->imds, err);
}

/* Where a custom identity stands ready, a machine that is no EC2 hardware is not made to wait for
 * an address that nobody has. */
static bool is_imds_worth_asking(const struct node_finder *f)
{
    const struct config *c = f->o.config;

    if (c->instance_id[0] == '\0' ||
        env_get_nonempty(f->o.env, "AWS_EC2_METADATA_SERVICE_ENDPOINT") != NULL)
        return true;
    return c->ec2_detection[0] != '\0' ? str_eq(c->ec2_detection, "true")
                                       : node_is_ec2_hardware("");
}

static int try_instance(struct node_finder *f, struct err *err)
{
    int r;

    if (!is_imds_worth_asking(f))
        return err_set(err, ERR_NOT_FOUND,
                       "not asked: this is no EC2 hardware, and a custom identity is configured");
    r = open_imds(f, err);
    if (r < 0)
        return r;
    f->n_field = 0;
    read_field(f);
    return 0;
}

/* ---- ECS ---- */

static void on_container(void *ctx, const struct container_task *task, const struct err *err)
{
    struct node_finder *f = ctx;
    struct credentials_provider *p = NULL;
    struct err why = {0};
    int r;

    f->container = NULL;
    if (err != NULL) {
        fail(f, "ECS", err);
        return;
    }
    (void)str_copy(f->node.instance_id, sizeof(f->node.instance_id), task->instance_id);
    (void)str_copy(f->node.region, sizeof(f->node.region), task->region); /* all as large */
    (void)str_copy(f->node.availability_zone, sizeof(f->node.availability_zone),
                   task->availability_zone);
    (void)str_copy(f->node.instance_type, sizeof(f->node.instance_type), "Container");
    r = container_credentials_new(f->o.loop, f->http, f->o.env, &p, &why);
    if (r == 0)
        r = take_credentials(f, p, &why);
    if (r < 0)
        fail(f, "ECS", &why);
    else
        be(f, "ECS");
}

/* ---- CustomIdentity ---- */

/* Environment, shared file, then what the surroundings hand out (section 10). */
static int default_chain(struct node_finder *f, struct credentials_provider **ret, struct err *err)
{
    struct credentials_provider *sources[3];
    size_t n = 0;
    int r = credentials_env_new(f->o.env, &sources[0], err);

    if (r < 0)
        return r;
    n++;
    r = credentials_file_new(f->o.env, NULL, NULL, &sources[n], err);
    n += r == 0;
    if (r == 0 && container_has_credentials(f->o.env)) {
        r = container_credentials_new(f->o.loop, f->http, f->o.env, &sources[n], err);
        n += r == 0;
    } else if (r == 0 && is_imds_worth_asking(f) && open_imds(f, NULL) == 0) {
        r = instance_profile_new(f->o.loop, f->imds, &sources[n], err);
        n += r == 0;
    }
    if (r == 0)
        return credentials_chain_new(sources, n, ret, err);
    while (n > 0)
        credentials_provider_free(sources[--n]);
    return r;
}

static int try_custom(struct node_finder *f, struct err *err)
{
    const struct config *c = f->o.config;
    struct credentials_provider *p = NULL;
    int r = config_check_identity(c, err);

    if (r < 0)
        return r;
    (void)str_copy(f->node.instance_id, sizeof(f->node.instance_id), c->instance_id); /* larger */
    (void)str_copy(f->node.region, sizeof(f->node.region),
                   c->identity_region[0] != '\0' ? c->identity_region : c->region);
    (void)str_copy(f->node.availability_zone, sizeof(f->node.availability_zone),
                   c->availability_zone); /* as large, as the next two */
    (void)str_copy(f->node.availability_zone_id, sizeof(f->node.availability_zone_id),
                   c->availability_zone_id);
    (void)str_copy(f->node.instance_type, sizeof(f->node.instance_type), c->instance_type);
    r = default_chain(f, &p, err);
    return r < 0 ? r : take_credentials(f, p, err);
}

/* ---- the walk ---- */

static bool is_container_only(const struct config *c)
{
    const struct config_list *l = &c->identity_order;

    return c->is_container_mode && l->n == 3 && str_eq(l->items[0], "OnPrem") &&
           str_eq(l->items[1], "EC2") && str_eq(l->items[2], "CustomIdentity");
}

static void end_walk(struct node_finder *f)
{
    AUTO(buf_done) struct buf tried = {0};
    size_t i;

    f->is_walking = false;
    if (f->o.is_once) {
        f->o.failed(f->o.ctx);
        return;
    }
    buf_init(&tried, 4096);
    for (i = 0; i < f->n_tried; i++)
        (void)buf_printf(&tried, "%s%s: %s", i > 0 ? "; " : "", f->tried[i].kind,
                         f->tried[i].text); /* a text that may be cut */
    if (f->was_told)
        log_debug("this node has no identity yet: %s", buf_str(&tried));
    else
        log_error("this node has no identity yet, and goes on looking for one: %s",
                  buf_str(&tried));
    f->was_told = true;
    (void)uv_timer_start(&f->timer, f->timer.timer_cb,
                         (uint64_t)backoff_fail_ms(&f->backoff, ids_random32()),
                         0); /* not closing */
}

static void try_next(struct node_finder *f)
{
    const struct config *c = f->o.config;
    const char *kind;
    struct err err = {0};
    int r;

    memset(&f->node, 0, sizeof(f->node));
    aws_close(f->aws);
    f->aws = NULL;
    if (f->at >= (is_container_only(c) ? 1 : c->identity_order.n)) {
        end_walk(f);
        return;
    }
    kind = is_container_only(c) ? "ECS" : c->identity_order.items[f->at];
    if (str_eq(kind, "EC2")) {
        r = try_instance(f, &err);
        if (r == 0)
            return; /* on_field() goes on */
    } else if (str_eq(kind, "ECS")) {
        r = container_identify(f->o.loop, f->http, f->o.env, on_container, f, &f->container, &err);
        if (r == 0)
            return; /* on_container() goes on */
    } else {
        r = str_eq(kind, "OnPrem") ? try_hybrid(f, &err) : try_custom(f, &err);
    }
    if (r < 0)
        fail(f, kind, &err);
    else
        be(f, str_eq(kind, "OnPrem") ? "OnPrem" : "CustomIdentity");
}

static void walk(struct node_finder *f)
{
    if (f->is_walking || f->is_known || f->is_closing)
        return;
    (void)uv_timer_stop(&f->timer);
    f->is_walking = true;
    f->at = f->n_tried = 0;
    try_next(f);
}

static void on_walk_timer(uv_timer_t *timer)
{
    walk(container_of(timer, struct node_finder, timer));
}

void node_finder_start(struct node_finder *f)
{
    walk(f);
}

void node_finder_wake(struct node_finder *f)
{
    if (f != NULL && !f->is_walking)
        walk(f);
}

/* ---- life ---- */

int node_finder_new(const struct node_finder_options *o, struct node_finder **ret_finder,
                    struct err *err)
{
    const struct http_options ho = {
        .env = o->env, .ca_file = o->config->ca_file[0] != '\0' ? o->config->ca_file : NULL};
    struct node_finder *f = calloc(1, sizeof(*f));
    int r;

    if (f == NULL)
        return err_set(err, ERR_NOMEM, "identity: out of memory");
    f->o = *o;
    f->backoff = (struct backoff){.first_ms = FIRST_PAUSE_MS, .cap_ms = MAX_PAUSE_MS};
    f->enrol_backoff =
        (struct backoff){.first_ms = EC2_REGISTER_FIRST_MS, .cap_ms = EC2_REGISTER_CAP_MS};
    r = http_new(o->loop, &ho, &f->http, err);
    if (r < 0) {
        free(f);
        return r;
    }
    (void)uv_timer_init(o->loop, &f->timer); /* cannot fail */
    f->timer.timer_cb = on_walk_timer;
    *ret_finder = f;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_timer_t *)(void *)handle, struct node_finder, timer));
}

void node_finder_close(struct node_finder *f)
{
    if (f == NULL || f->is_closing)
        return;
    f->is_closing = true;
    credentials_provider_free(f->node.credentials);
    credentials_provider_free(f->instance_identity);
    hybrid_close(f->hybrid);
    container_cancel(f->container);
    imds_close(f->imds);
    aws_close(f->aws);
    http_close(f->http);
    rsa_key_free(f->instance_key);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

const struct node *node_finder_node(const struct node_finder *f)
{
    return f->is_known ? &f->node : NULL;
}

void node_finder_describe(const struct node_finder *f, struct buf *b)
{
    size_t i;

    for (i = 0; i < f->n_tried; i++)
        (void)buf_printf(b, "%s: %s\n", f->tried[i].kind, f->tried[i].text); /* may be cut */
    if (f->n_tried == 0)
        (void)buf_add_str(b, "being looked for\n");
}
