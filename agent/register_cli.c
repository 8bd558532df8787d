/* The command line of a registration. Where ssmd runs, it is asked to do it, because it alone
 * writes the journal; else it is done here. */
#define LOG_MODULE "register"
#include "agent/register_cli.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "agent/registrar.h"
#include "agent/setup.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/str.h"
#include "ctl/client.h"
#include "schema/json.h"

#define MAX_CODE_BYTES 250
#define FLAG_ERROR 2 /* of the reference: an unknown or malformed flag */

static const char usage[] =
    "usage: ssmd register --activation-id ID --activation-code CODE --region REGION [--yes]\n"
    "       ssmd register --import [--yes]\n"
    "       ssmd register --clear\n"
    "       ssmd register --similarity-threshold N\n"
    "\n"
    "Makes this machine a managed node of AWS Systems Manager (mi-...).\n"
    "\n"
    "  --activation-id ID       as `aws ssm create-activation` printed it\n"
    "  --activation-code CODE   likewise; - reads it from standard input, so that it is in no "
    "list\n"
    "                           of processes\n"
    "  --region REGION          of the activation, for example eu-west-1\n"
    "  --yes, -y                replace a registration that exists, without a question\n"
    "  --disable-similarity-check\n"
    "                           go on being this node however much the machine changes\n"
    "  --import                 take over the registration of amazon-ssm-agent, without a new\n"
    "                           activation\n"
    "  --clear                  forget the registration\n"
    "  --similarity-threshold N of the machine's attributes, how many per cent must stay equal: 1\n"
    "                           to 100, or -1 for all the same\n"
    "  --root DIR, --config FILE, --log LEVELS   as for ssmd\n"
    "\n"
    "The spelling of amazon-ssm-agent works as well: -register -code CODE -id ID -region REGION "
    "-y.\n"
    "Exit status: 0, 1 (refused), 2 or 100 (usage), 111 (system failure, try again).\n";

struct words {
    const char *root, *config, *log, *activation_id, *region, *threshold;
    struct secret code; /* owned */
    bool is_register, is_reference, is_yes, is_clear, is_import, is_check_off, is_fingerprint;
    bool is_code_read; /* from standard input: no question can be asked there */
};

bool register_cli_is_meant(int argc, char **argv)
{
    static const char *const ours[] = {"register", "fingerprint", "similarityThreshold"};
    int i;
    size_t k;

    if (argc > 1 && str_eq(argv[1], "register"))
        return true;
    for (i = 1; i < argc; i++) {
        const char *word = argv[i] + strspn(argv[i], "-");

        for (k = 0; word != argv[i] && k < ARRAY_LEN(ours); k++)
            if (strncmp(word, ours[k], strlen(ours[k])) == 0 &&
                (word[strlen(ours[k])] == '\0' || word[strlen(ours[k])] == '='))
                return true;
    }
    return false;
}

/* ---- words ---- */

static int read_code(struct words *w, struct err *err)
{
    char line[MAX_CODE_BYTES + 2];
    int r;

    if (fgets(line, sizeof(line), stdin) == NULL)
        return err_set(err, ERR_USAGE, "--activation-code -: there is no line on standard input");
    line[strcspn(line, "\r\n")] = '\0';
    r = secret_set(&w->code, line, err);
    explicit_bzero(line, sizeof(line));
    w->is_code_read = true;
    return r;
}

static int take_code(struct words *w, char *text, struct err *err)
{
    int r;

    if (str_eq(text, "-"))
        return read_code(w, err);
    r = secret_set(&w->code, text, err);
    memset(text, '*', strlen(text)); /* from here on the list of processes shows nothing */
    return r;
}

enum word {
    W_REGISTER = 1,
    W_CODE,
    W_ID,
    W_REGION,
    W_YES,
    W_CLEAR,
    W_IMPORT,
    W_CHECK_OFF,
    W_FINGERPRINT,
    W_THRESHOLD,
    W_ROLE,
    W_TAGS,
    W_ROOT,
    W_CONFIG,
    W_LOG,
    W_HELP
};

static int take(struct words *w, int word, char *value, struct err *err)
{
    switch (word) {
    case W_REGISTER:
        w->is_register = w->is_reference = true;
        return 0;
    case W_CODE:
        return take_code(w, value, err);
    case W_ID:
        w->activation_id = value;
        return 0;
    case W_REGION:
        w->region = value;
        return 0;
    case W_YES:
        w->is_yes = true;
        return 0;
    case W_CLEAR:
        w->is_clear = true;
        return 0;
    case W_IMPORT:
        w->is_import = true;
        return 0;
    case W_CHECK_OFF:
        w->is_check_off = true;
        return 0;
    case W_FINGERPRINT:
        w->is_fingerprint = w->is_reference = true;
        return 0;
    case W_THRESHOLD:
        w->threshold = value;
        return 0;
    case W_ROLE:
    case W_TAGS:
        return err_set(err, ERR_UNSUPPORTED,
                       "-role, -tags: a registration with AWS credentials in place of an "
                       "activation is not possible in this version");
    case W_ROOT:
        w->root = value;
        return 0;
    case W_CONFIG:
        w->config = value;
        return 0;
    case W_LOG:
        w->log = value;
        return 0;
    default:
        return err_set(err, ERR_USAGE, "try: ssmd register --help");
    }
}

static int parse(int argc, char **argv, struct words *w, bool *ret_is_help, struct err *err)
{
    static const struct option longs[] = {
        {"register", no_argument, NULL, W_REGISTER},
        {"activation-code", required_argument, NULL, W_CODE},
        {"code", required_argument, NULL, W_CODE},
        {"activation-id", required_argument, NULL, W_ID},
        {"id", required_argument, NULL, W_ID},
        {"region", required_argument, NULL, W_REGION},
        {"yes", no_argument, NULL, W_YES},
        {"y", no_argument, NULL, W_YES},
        {"force", no_argument, NULL, W_YES},
        {"clear", no_argument, NULL, W_CLEAR},
        {"import", no_argument, NULL, W_IMPORT},
        {"disable-similarity-check", no_argument, NULL, W_CHECK_OFF},
        {"disableSimilarityCheck", no_argument, NULL, W_CHECK_OFF},
        {"fingerprint", no_argument, NULL, W_FINGERPRINT},
        {"similarity-threshold", required_argument, NULL, W_THRESHOLD},
        {"similarityThreshold", required_argument, NULL, W_THRESHOLD},
        {"role", required_argument, NULL, W_ROLE},
        {"tags", required_argument, NULL, W_TAGS},
        {"root", required_argument, NULL, W_ROOT},
        {"config", required_argument, NULL, W_CONFIG},
        {"log", required_argument, NULL, W_LOG},
        {"help", no_argument, NULL, W_HELP},
        {NULL, 0, NULL, 0},
    };
    int c, r;

    if (str_eq(argv[1], "register")) {
        w->is_register = true;
        optind = 2;
    }
    while ((c = getopt_long_only(argc, argv, "", longs, NULL)) != -1) {
        if (c == W_HELP) {
            *ret_is_help = true;
            return 0;
        }
        r = take(w, c, optarg, err);
        if (r < 0)
            return r;
    }
    if (optind < argc)
        return err_set(err, ERR_USAGE, "\"%s\" is not understood", argv[optind]);
    if (w->is_fingerprint && w->threshold == NULL)
        w->threshold = "40";
    return 0;
}

/* Is there enough to do one thing, and not two? */
static int check(const struct words *w, struct err *err)
{
    bool is_complete = secret_is_set(&w->code) && w->activation_id != NULL && w->region != NULL;
    int n = (w->is_import ? 1 : 0) + (w->threshold != NULL ? 1 : 0) +
            (secret_is_set(&w->code) || w->activation_id != NULL ? 1 : 0);

    if (n > 1)
        return err_set(err, ERR_USAGE,
                       "an activation, --import and --similarity-threshold exclude each other");
    if (n == 0 && w->is_clear)
        return 0;
    if (w->threshold != NULL || w->is_import || is_complete)
        return 0;
    return err_set(err, ERR_USAGE, "--activation-code, --activation-id and --region are needed");
}

/* ---- done here ---- */

struct local {
    uv_loop_t loop;
    struct paths paths;
    struct config config;
    struct registrar *registrar;
    char boot_id[BOOT_ID_SIZE];
    char node_id[128];
    struct err err;
};

static void on_done(void *ctx, const char *node_id, const struct err *err)
{
    struct local *l = ctx;

    (void)str_copy(l->node_id, sizeof(l->node_id), node_id); /* as large */
    if (err != NULL)
        l->err = *err;
    registrar_close(l->registrar);
    l->registrar = NULL;
}

/* The question of the reference, with its answers. */
static int ask(const struct words *w, const struct registration *g, struct err *err)
{
    char answer[64];

    if (g == NULL || w->is_yes)
        return 0;
    if (w->is_code_read)
        return err_set(err, ERR_EXISTS,
                       "this machine is registered as %s; add --yes to replace that", g->node_id);
    (void)printf("Instance already registered. Would you like to override existing with new "
                 "registration information? [Yes/No]: ");
    (void)fflush(stdout); /* a terminal that is gone answers nothing, which is a no */
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        return err_set(err, ERR_CANCELLED, "Registration canceled: no answer");
    if (answer[0] == 'y' || answer[0] == 'Y')
        return 0;
    return err_set(err, ERR_CANCELLED,
                   answer[0] == 'n' || answer[0] == 'N'
                       ? "Registration canceled by user"
                       : "Registration canceled: the answer is neither yes nor no");
}

static int act(struct local *l, const struct words *w, struct err *err)
{
    const struct registrar_request q = {.activation_id = w->activation_id,
                                        .activation_code = &w->code,
                                        .region = w->region,
                                        .is_check_off = w->is_check_off};
    const struct registration *g = registrar_current(l->registrar, VAULT_HYBRID);
    int64_t threshold;
    int r;

    if (w->threshold != NULL) {
        if (!str_to_i64(w->threshold, INT32_MIN, INT32_MAX, &threshold))
            return err_set(err, ERR_INVALID, "similarity threshold \"%s\": not a number",
                           w->threshold);
        return registrar_set_threshold(l->registrar, threshold, err);
    }
    if (w->activation_id == NULL && !w->is_import)
        return registrar_clear(l->registrar, err);
    r = ask(w, g, err);
    if (r < 0)
        return r;
    if (!w->is_import)
        return registrar_register(l->registrar, &q, on_done, l, err);
    r = registrar_import(l->registrar, VAULT_HYBRID, err);
    g = registrar_current(l->registrar, VAULT_HYBRID);
    if (r == 0)
        (void)str_copy(l->node_id, sizeof(l->node_id), g->node_id); /* as large */
    return r;
}

static int do_here(struct local *l, const struct words *w, struct err *err)
{
    struct registrar_options ro = {
        .loop = &l->loop, .config = &l->config, .paths = &l->paths, .boot_id = l->boot_id};
    int r = uv_loop_init(&l->loop);

    if (r < 0)
        return err_set(err, ERR_SYSTEM, "event loop: %s", uv_strerror(r));
    if ((r = clock_read_boot_id(l->config.boot_id_file, l->boot_id, err)) < 0 ||
        (r = setup_open_journal(&l->paths, l->boot_id, &ro.journal, err)) < 0)
        return r;
    r = registrar_new(&ro, &l->registrar, err);
    if (r == 0)
        r = act(l, w, err);
    if (r < 0 || w->threshold != NULL || w->activation_id == NULL) {
        registrar_close(l->registrar);
        l->registrar = NULL;
    }
    (void)uv_run(&l->loop, UV_RUN_DEFAULT);
    journal_close(ro.journal);
    (void)uv_loop_close(&l->loop); /* nothing is left in it but what libraries keep */
    if (r == 0 && l->err.code != 0) {
        *err = l->err;
        r = err->code;
    }
    return r;
}

/* ---- done by the ssmd that runs ---- */

static void add(struct buf *b, const char *name, const char *value)
{
    if (value == NULL)
        return;
    (void)buf_printf(b, ",\"%s\":", name); /* client_ask() looks at buf_error() */
    (void)buf_add_json_str(b, value, strlen(value));
}

static int ask_running(struct local *l, const struct words *w, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf question = {0};
    const char *node;
    int r;

    buf_init(&question, 8192);
    (void)buf_add_str(&question, "{\"op\":\"register\"");
    add(&question, "activation_id", w->activation_id);
    add(&question, "activation_code", secret_is_set(&w->code) ? secret_reveal(&w->code) : NULL);
    add(&question, "region", w->region);
    add(&question, "similarity_threshold", w->threshold);
    (void)buf_printf(&question, ",\"is_import\":%s,\"is_check_off\":%s,\"is_forced\":%s}",
                     w->is_import ? "true" : "false", w->is_check_off ? "true" : "false",
                     w->is_yes ? "true" : "false");
    r = client_ask(&l->paths, &question, &answer, err);
    if (question.data != NULL)
        explicit_bzero(question.data, question.len);
    if (r < 0)
        return r;
    node = cJSON_GetStringValue(json_get_exact(answer, "node"));
    (void)str_copy(l->node_id, sizeof(l->node_id), node != NULL ? node : ""); /* as large */
    return 0;
}

/* ---- the whole ---- */

static int usage_status(const struct words *w, const struct err *err)
{
    if (err->code != ERR_USAGE)
        return EXIT_NO;
    return w->is_reference ? EXIT_NO : EXIT_USAGE;
}

static void say_done(const struct words *w, const struct local *l)
{
    if (w->threshold != NULL)
        (void)printf("Fingerprint SimilarityThreshold set to %s\n", w->threshold);
    else if (l->node_id[0] == '\0')
        (void)printf("Registration information has been removed from the instance.\n");
    else
        (void)printf("Successfully registered the instance with AWS SSM using Managed "
                     "instance-id: %s\n",
                     l->node_id);
}

static int run(struct local *l, const struct words *w)
{
    struct err err;
    int lock_fd = -1, r = setup_read_config(&l->config, &l->paths, w->config, NULL, NULL, &err);

    if (r == 0) {
        r = setup_take_lock(&l->paths, &lock_fd, &err);
        r = r == ERR_BUSY ? ask_running(l, w, &err) : r == 0 ? do_here(l, w, &err) : r;
        if (lock_fd >= 0)
            (void)close(lock_fd); /* which gives the lock up */
    }
    if (r < 0) {
        if (w->activation_id != NULL && r != ERR_CANCELLED)
            (void)fprintf(stderr,
                          "Registration failed due to error registering the instance with AWS "
                          "SSM. %s\n",
                          err.text);
        else if (w->threshold != NULL)
            (void)fprintf(stderr, "Error setting the SimilarityThreshold. %s\n", err.text);
        else
            (void)fprintf(stderr, "%s\n", err.text);
        return w->is_reference ? EXIT_NO : setup_exit_status(&err);
    }
    say_done(w, l);
    return EXIT_OK;
}

int register_cli_main(int argc, char **argv)
{
    AUTO(secret_done) struct secret code = {0};
    static struct local l;
    struct words w = {0};
    bool is_help = false;
    struct err err = {0};
    int r = parse(argc, argv, &w, &is_help, &err);

    code = TAKE_STRUCT(w.code); /* wiped however this ends */
    w.code = code;
    if (r == 0 && is_help) {
        (void)fputs(usage, stdout);
        return EXIT_OK;
    }
    if (r == ERR_USAGE && str_has_prefix(err.text, "try:")) { /* getopt has said what is wrong */
        (void)fputs(usage, stderr);
        return w.is_reference ? FLAG_ERROR : EXIT_USAGE;
    }
    if (r == 0)
        r = check(&w, &err);
    if (r < 0) {
        (void)fprintf(stderr, "ssmd register: %s\n%s", err.text, r == ERR_USAGE ? usage : "");
        return usage_status(&w, &err);
    }
    if (log_set_levels(w.log != NULL ? w.log : "warning", &err) < 0 ||
        paths_init(&l.paths, w.root, &err) < 0) {
        (void)fprintf(stderr, "ssmd register: %s\n", err.text);
        return EXIT_USAGE;
    }
    return run(&l, &w);
}
