/* What ssmd-stager gives up before it reads what strangers send: memory and file sizes without end,
 * privileges that a program may bring, and writing anywhere but where an update is prepared. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "update/stager_internal.h"

#if __has_include(<linux/landlock.h>) && defined(SYS_landlock_create_ruleset)
#include <linux/landlock.h>
#define HAS_LANDLOCK 1
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1 /* which maps terabytes */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

#define MAX_MEMORY_BYTES ((rlim_t)512 << 20)

/* Never raised: an administrator may have set a lower one. */
static int lower(__rlimit_resource_t what, rlim_t most, struct err *err)
{
    struct rlimit l;

    if (getrlimit(what, &l) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "read a resource limit");
    l.rlim_max = l.rlim_max < most ? l.rlim_max : most;
    l.rlim_cur = l.rlim_cur < l.rlim_max ? l.rlim_cur : l.rlim_max;
    return setrlimit(what, &l) < 0 ? err_sys(err, ERR_SYSTEM, errno, "set a resource limit") : 0;
}

int stager_confine(struct err *err)
{
    int r = lower(RLIMIT_FSIZE, SLOTS_MAX_BYTES, err);

    if (r == 0)
        r = lower(RLIMIT_CORE, 0, err);
    if (r == 0 && !HAS_SANITIZER)
        r = lower(RLIMIT_DATA, MAX_MEMORY_BYTES, err);
    if (r < 0)
        return r;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "prctl");
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* the write fails instead, and says so */
    (void)umask(022);
    return 0;
}

#ifdef HAS_LANDLOCK

/* By number: headers of older kernels lack the newer ones. */
#define FS_WRITE_FILE (1ull << 1)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_MAKE_ANY (FS_MAKE_DIR | FS_MAKE_REG | 1ull << 6 | 0xfull << 9)
#define FS_TRUNCATE (1ull << 14) /* since the third version of the interface */
#define FS_PREPARE                                                                                 \
    (FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_TRUNCATE)

/* What is not there needs no rule. */
static int allow(int rules, const char *path, uint64_t rights)
{
    AUTO(close_fd) int fd = open(path, O_PATH | O_CLOEXEC);
    const struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};

    return fd < 0
               ? 0
               : (int)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* 0, or -1 with errno. */
static int restrict_writes(const struct stager_request *q)
{
    const long version =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    const uint64_t known = version >= 3 ? ~0ull : ~FS_TRUNCATE;
    const struct landlock_ruleset_attr attr = {
        .handled_access_fs =
            (FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_ANY | FS_TRUNCATE) & known};
    AUTO(close_fd)
    int rules =
        version < 1 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

    if (rules < 0)
        return -1;
    if (allow(rules, "/dev/null", (FS_WRITE_FILE | FS_TRUNCATE) & known) < 0)
        return -1;
    if (q->phase != STAGER_CHECK && allow(rules, q->update_dir, FS_PREPARE & known) < 0)
        return -1;
    if (q->phase == STAGER_STAGE && allow(rules, q->slots_dir, FS_PREPARE & known) < 0)
        return -1;
    return (int)syscall(SYS_landlock_restrict_self, rules, 0);
}

#else

static int restrict_writes(const struct stager_request *q)
{
    (void)q;
    errno = ENOSYS;
    return -1;
}

#endif

void stager_confine_writes(const struct stager_request *q)
{
    if (HAS_COVERAGE) /* what is counted is written at the end, elsewhere */
        return;
    if (restrict_writes(q) < 0 && errno != ENOSYS && errno != EOPNOTSUPP)
        stager_say("this process could not be kept from writing elsewhere: %s", strerror(errno));
}
