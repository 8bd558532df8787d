/* Reading the records of a step's directory. */
#include "executors/step_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

int step_record_read(int dirfd, const char *name, const char *kind, struct record *ret_record,
                     struct err *err)
{
    size_t offset = str_eq(kind, STEP_FILE_EXIT) ? STEP_EXIT_OFFSET : 0;
    AUTO(buf_done) struct buf bytes = {0};
    const char *text;
    int r;

    buf_init(&bytes, RECORD_MAX_BYTES);
    r = fs_read_file(dirfd, name, &bytes, err);
    if (r < 0)
        return r;
    if (offset > bytes.len)
        offset = bytes.len; /* a torn one: nothing is there */
    text = buf_str(&bytes) + offset;
    return record_parse(text, strnlen(text, bytes.len - offset), kind, ret_record, err);
}

bool step_record_is_started(int dirfd)
{
    AUTO(record_done) struct record r = {0};
    struct stat st;
    struct err err;
    int rc;

    if (fstatat(dirfd, STEP_FILE_STARTED, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        return true;
    if (fstatat(dirfd, STEP_FILE_STARTED_TEMP, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISREG(st.st_mode))
        return false; /* nothing of ours */
    rc = step_record_read(dirfd, STEP_FILE_STARTED_TEMP, STEP_FILE_STARTED, &r, &err);
    return rc != ERR_NOT_FOUND && rc != ERR_CORRUPT;
}
