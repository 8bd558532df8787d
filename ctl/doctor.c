/* `ssmctl doctor`: ssmd's own look at itself, run beside it. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "ctl/ctl.h"

bool ctl_find_ssmd(char *ret_path, size_t size)
{
    static const char *const places[] = {"/ssmd", "/../sbin/ssmd", "/../agent/ssmd"};
    char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
    char *slash;
    size_t i;

    dir[n > 0 ? n : 0] = '\0';
    slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = '\0';
    for (i = 0; i < ARRAY_LEN(places); i++)
        if (snprintf(ret_path, size, "%s%s", dir, places[i]) < (int)size &&
            access(ret_path, X_OK) == 0)
            return true;
    return false;
}

int ctl_run_doctor(struct ctl *c, struct err *err)
{
    char path[PATH_MAX], words[][16] = {"doctor", "--root", "--json"}, root[PATH_MAX];
    const char *program = ctl_find_ssmd(path, sizeof(path)) ? path : "ssmd"; /* by PATH */
    char name[] = "ssmd";
    char *argv[8] = {name, words[0]};
    size_t n = 2;
    int status = 0, r;
    pid_t pid;

    if (c->paths.root[0] != '\0') {
        (void)str_copy(root, sizeof(root), c->paths.root); /* shorter */
        argv[n++] = words[1];
        argv[n++] = root;
    }
    if (c->is_json)
        argv[n++] = words[2];
    (void)fflush(c->out); /* what was said before comes before */
    r = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    if (r != 0)
        return err_sys(err, ERR_SYSTEM, r, "run ssmd doctor: is ssmd installed?");
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_sys(err, ERR_SYSTEM, errno, "wait for ssmd doctor");
    if (!WIFEXITED(status))
        return err_set(err, ERR_SYSTEM, "ssmd doctor was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) > 1)
        return err_set(err, ERR_SYSTEM, "ssmd doctor ended with status %d", WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0 ? CTL_OK : CTL_NO;
}
