/* Where things are. */
#include "base/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int join(char *dst, const char *root, const char *rest, struct err *err)
{
    if (snprintf(dst, PATH_MAX, "%s%s", root, rest) >= PATH_MAX)
        return err_set(err, ERR_LIMIT, "root directory %.100s...: the path is too long", root);
    return 0;
}

int paths_init(struct paths *ret_paths, const char *root, struct err *err)
{
    struct paths p = {.root = ""};
    char cwd[PATH_MAX];
    size_t n;
    int k, r;

    if (root == NULL)
        root = "";
    if (root[0] == '\0' || root[0] == '/') {
        k = snprintf(p.root, sizeof(p.root), "%s", root);
    } else {
        if (getcwd(cwd, sizeof(cwd)) == NULL)
            return err_sys(err, ERR_IO, errno, "current directory");
        k = snprintf(p.root, sizeof(p.root), "%s/%s", cwd, root);
    }
    if (k >= (int)sizeof(p.root))
        return err_set(err, ERR_LIMIT, "root directory: longer than %zu bytes", sizeof(p.root) - 1);
    for (n = strlen(p.root); n > 0 && p.root[n - 1] == '/'; n--)
        p.root[n - 1] = '\0';
    if ((r = join(p.state_dir, p.root, "/var/lib/ssmd", err)) < 0 ||
        (r = join(p.jobs_dir, p.root, "/var/lib/ssmd/jobs", err)) < 0 ||
        (r = join(p.journal, p.root, "/var/lib/ssmd/journal.db", err)) < 0 ||
        (r = join(p.ledger_head, p.root, "/var/lib/ssmd/ledger.head", err)) < 0 ||
        (r = join(p.run_dir, p.root, "/run/ssmd", err)) < 0 ||
        (r = join(p.ctl_socket, p.root, "/run/ssmd/ctl.sock", err)) < 0 ||
        (r = join(p.pid_file, p.root, "/run/ssmd/ssmd.pid", err)) < 0 ||
        (r = join(p.config, p.root, "/etc/ssmd/ssmd.json", err)) < 0)
        return r;
    *ret_paths = p;
    return 0;
}
