/* Where things are: /var/lib/ssmd, /opt/ssmd, /run/ssmd, /etc/ssmd, each below --root when one is
 * given. */
#ifndef SSMD_BASE_PATHS_H
#define SSMD_BASE_PATHS_H

#include <limits.h>

#include "base/err.h"

struct paths {
    char root[PATH_MAX / 2];    /* "" or an absolute directory without a final slash */
    char state_dir[PATH_MAX];   /* <root>/var/lib/ssmd, or what it is a link to */
    char jobs_dir[PATH_MAX];    /* .../jobs: <job>/<step>.<attempt>/ */
    char journal[PATH_MAX];     /* .../journal.db */
    char ledger_head[PATH_MAX]; /* .../ledger.head: count and head of the ledger, beside the journal
                                 */
    char update_dir[PATH_MAX];  /* .../update: docs/internals/update.md */
    char slots_dir[PATH_MAX];   /* <root>/opt/ssmd: versions of this program */
    char run_dir[PATH_MAX];     /* <root>/run/ssmd */
    char ctl_socket[PATH_MAX];  /* .../ctl.sock */
    char pid_file[PATH_MAX];    /* .../ssmd.pid; locked while ssmd runs */
    char config[PATH_MAX];      /* <root>/etc/ssmd/ssmd.json */
    /* The reference agent's: <root>/etc/amazon/ssm/amazon-ssm-agent.json, seelog.xml. */
    char reference_config[PATH_MAX], seelog[PATH_MAX];
};

/* `root` NULL or "" means the machine itself; a relative one is taken from the current directory.
 * A link in the place of the state directory is followed if it belongs to root or to us and nobody
 * else may write where it is, nor where it points to: ERR_STATE. ERR_LIMIT, ERR_IO. */
int paths_init(struct paths *ret_paths, const char *root, struct err *err) MUST_CHECK;

/* The configuration that is read when none is named: ours if it is there, else the reference
 * agent's if that is, else ours (which then need not exist). */
const char *paths_choose_config(const struct paths *paths);

#endif
