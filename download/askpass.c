/* git's question, answered from a memory file: the user's name, a NUL, the password, a NUL. */
#include "download/askpass.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "schema/download.h"

int askpass(const char *descriptor, const char *prompt)
{
    static char pair[2 * DOWNLOAD_MAX_TEXT_BYTES];
    const char *password;
    int64_t fd = -1;
    ssize_t n;

    if (!str_to_i64(descriptor, 3, 1024, &fd))
        return 1;
    n = pread((int)fd, pair, sizeof(pair) - 1, 0);
    if (n <= 0)
        return 1; /* no password was given: git says so */
    password = pair + strlen(pair) + 1;
    if (password > pair + n)
        return 1;
    if (strncasecmp(prompt, "username", strlen("username")) != 0)
        memmove(pair, password, strlen(password) + 1);
    return fs_write_all(1, pair, strlen(pair), NULL) < 0 || fs_write_all(1, "\n", 1, NULL) < 0;
}
