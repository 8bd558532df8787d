/* Words of the command line into options. */
#include "hub/options.h"

#include <string.h>

#include "base/str.h"

const char options_help[] =
    "ssmhub - a Systems Manager endpoint for one machine, in the AWS API\n"
    "\n"
    "For development, tests and isolated networks: agents poll it, and operators drive it with "
    "the\n"
    "stock AWS CLI. Fleets use AWS Systems Manager itself; ssmhub does not try to be one.\n"
    "\n"
    "usage: ssmhub --dir DIR [option ...]\n"
    "\n"
    "  --dir DIR               keeps its store and keys here (made with mode 0700)\n"
    "  --listen ADDRESS:PORT   default 127.0.0.1:8080; port 0 takes a free one; [::1]:8080 for "
    "IPv6\n"
    "  --port-file FILE        write the port there, atomically, once calls are taken\n"
    "  --tls                   HTTPS with DIR/cert.pem and DIR/key.pem, made if missing\n"
    "  --credentials FILE      accept the access keys in FILE (form of ~/.aws/credentials) "
    "instead\n"
    "                          of DIR/credentials, which is made with a random key if missing\n"
    "  --credentials-env       accept AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY\n"
    "  --region NAME           that requests are signed for; default us-east-1\n"
    "  --instance ID           an instance that commands may be sent to before its agent has "
    "called;\n"
    "                          may be given up to 16 times\n"
    "  --poll-seconds N        how long GetMessages waits for a message, 1 to 60; default 19\n"
    "  --role-token-seconds N  how long the keys of a managed node's role are good, 5 to 43200;\n"
    "                          default 3600\n"
    "  --updates DIR           serve the files below DIR under /updates/, unsigned: an update "
    "source\n"
    "                          for agents (see ssmctl release)\n"
    "  --log LEVELS            error, warning, info or debug; default info: a line for each call\n"
    "  --no-control-channel    refuse CreateControlChannel: agents poll ec2messages then\n"
    "  --faults                take test calls on /_faults, /_inject, /_message and /_state; on\n"
    "                          loopback only\n"
    "  --date-offset SECONDS   be that much ahead of the clock (negative: behind); with --faults\n"
    "  --help, --version\n"
    "\n"
    "Try it:\n"
    "  ssmhub --dir /tmp/hub --instance i-0123456789abcdef0 &\n"
    "  export AWS_SHARED_CREDENTIALS_FILE=/tmp/hub/credentials AWS_DEFAULT_REGION=us-east-1\n"
    "  aws --endpoint-url http://127.0.0.1:8080 ssm send-command --document-name "
    "AWS-RunShellScript \\\n"
    "      --instance-ids i-0123456789abcdef0 --parameters 'commands=[\"echo hello\"]'\n"
    "\n"
    "With --tls, clients need DIR/cert.pem as their CA file (aws: AWS_CA_BUNDLE=DIR/cert.pem).\n"
    "SIGTERM or SIGINT ends it. Exit status: 0, 100 (usage), 111 (system failure).\n";

enum kind { FLAG, TEXT_OPTION, NUMBER };

struct option_row {
    const char *name;
    enum kind kind;
    void *value;      /* bool, const char * or int64_t, by kind; NULL: --instance */
    int64_t min, max; /* of a number, as it is typed */
    int64_t unit;     /* what it is multiplied with */
};

static int add_instance(struct options *o, const char *id, struct err *err)
{
    if (!str_is_safe_name(id, 100) || strlen(id) < 10)
        return err_set(err, ERR_USAGE, "--instance %s: not an instance id like i-0123456789abcdef0",
                       id);
    if (o->n_instances == (int)ARRAY_LEN(o->instances))
        return err_set(err, ERR_USAGE, "--instance: at most %zu can be given",
                       ARRAY_LEN(o->instances));
    o->instances[o->n_instances++] = id;
    return 0;
}

static int take(struct options *o, const struct option_row *row, const char *text, struct err *err)
{
    int64_t number;

    if (row->kind == TEXT_OPTION) {
        if (row->value == NULL)
            return add_instance(o, text, err);
        if (text[0] == '\0')
            return err_set(err, ERR_USAGE, "%s: the value is empty", row->name);
        *(const char **)row->value = text;
        return 0;
    }
    if (!str_to_i64(text, row->min, row->max, &number))
        return err_set(err, ERR_USAGE, "%s %s: must be a whole number from %lld to %lld", row->name,
                       text, (long long)row->min, (long long)row->max);
    *(int64_t *)row->value = number * row->unit;
    return 0;
}

/* What must not be combined, or is nonsense by itself. */
static int check(const struct options *o, struct err *err)
{
    const char *p;

    if (o->dir == NULL)
        return err_set(err, ERR_USAGE, "--dir is missing: where should ssmhub keep its store?");
    if (o->credentials != NULL && o->is_credentials_env)
        return err_set(err, ERR_USAGE, "--credentials and --credentials-env exclude each other");
    if (o->date_offset_ms != 0 && !o->has_faults)
        return err_set(err, ERR_USAGE, "--date-offset is for tests and needs --faults");
    for (p = o->region; *p != '\0'; p++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-", *p) == NULL || p - o->region >= 100)
            return err_set(err, ERR_USAGE, "--region %s: not a region name like us-east-1",
                           o->region);
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options, struct err *err)
{
    struct options o = {.listen = "127.0.0.1:8080",
                        .region = "us-east-1",
                        .log = "info",
                        .poll_ms = 19000,
                        .role_token_ms = 3600000};
    const struct option_row rows[] = {
        {"--dir", TEXT_OPTION, &o.dir, 0, 0, 0},
        {"--listen", TEXT_OPTION, &o.listen, 0, 0, 0},
        {"--port-file", TEXT_OPTION, &o.port_file, 0, 0, 0},
        {"--tls", FLAG, &o.is_tls, 0, 0, 0},
        {"--credentials", TEXT_OPTION, &o.credentials, 0, 0, 0},
        {"--credentials-env", FLAG, &o.is_credentials_env, 0, 0, 0},
        {"--region", TEXT_OPTION, &o.region, 0, 0, 0},
        {"--instance", TEXT_OPTION, NULL, 0, 0, 0},
        {"--poll-seconds", NUMBER, &o.poll_ms, 1, 60, 1000},
        {"--role-token-seconds", NUMBER, &o.role_token_ms, 5, 43200, 1000},
        {"--updates", TEXT_OPTION, &o.updates, 0, 0, 0},
        {"--log", TEXT_OPTION, &o.log, 0, 0, 0},
        {"--no-control-channel", FLAG, &o.denies_control, 0, 0, 0},
        {"--faults", FLAG, &o.has_faults, 0, 0, 0},
        {"--date-offset", NUMBER, &o.date_offset_ms, -315360000, 315360000, 1000},
        {"--help", FLAG, &o.is_help, 0, 0, 0},
        {"--version", FLAG, &o.is_version, 0, 0, 0},
    };
    int i, r;

    for (i = 1; i < argc; i++) {
        const struct option_row *row = NULL;
        size_t k;

        for (k = 0; k < ARRAY_LEN(rows); k++)
            if (str_eq(rows[k].name, argv[i]))
                row = &rows[k];
        if (row == NULL)
            return err_set(err, ERR_USAGE, "%s: there is no such option (see --help)", argv[i]);
        if (row->kind == FLAG) {
            *(bool *)row->value = true;
            continue;
        }
        if (i + 1 == argc)
            return err_set(err, ERR_USAGE, "%s: its value is missing", argv[i]);
        r = take(&o, row, argv[++i], err);
        if (r < 0)
            return r;
    }
    if (!o.is_help && !o.is_version) {
        r = check(&o, err);
        if (r < 0)
            return r;
    }
    *ret_options = o;
    return 0;
}
