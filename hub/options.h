/* The command line of ssmhub. */
#ifndef SSMD_HUB_OPTIONS_H
#define SSMD_HUB_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct options {
    const char *dir;         /* borrowed from argv, as all texts here; NULL only with is_help */
    const char *listen;      /* ADDRESS:PORT */
    const char *port_file;   /* NULL: none */
    const char *credentials; /* NULL: DIR/credentials */
    const char *region;
    const char *log;
    const char *updates;       /* NULL: none */
    const char *instances[16]; /* known from the start */
    int n_instances;
    int64_t poll_ms;
    int64_t role_token_ms;
    int64_t date_offset_ms;
    bool is_tls;
    bool is_credentials_env;
    bool denies_control;
    bool has_faults;
    bool is_help;
    bool is_version;
};

/* ERR_USAGE says which word is wrong and what it should be. */
int options_parse(int argc, char **argv, struct options *ret_options, struct err *err) MUST_CHECK;
extern const char options_help[];

#endif
