/* The search for trusted certificates. A hashed directory is preferred to a bundle of the same
 * content: from it the TLS library reads the one certificate it needs, while a bundle of 140 is
 * parsed whole and costs more memory than the rest of the agent's network code. */
#include "transport/ca.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

static const char *const system_dirs[] = {
    "/etc/ssl/certs",                                 /* Debian, Ubuntu, SUSE, Alpine */
    "/etc/pki/ca-trust/extracted/pem/directory-hash", /* Fedora, Amazon Linux 2023, RHEL 10 */
    "/etc/pki/tls/certs",
};

static const char *const system_files[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

/* Has at least one name such as 5ed36f99.0. */
static bool is_hashed_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    bool is_found = false;

    if (dir == NULL)
        return false;
    while (!is_found && (entry = readdir(dir)) != NULL)
        is_found = strspn(entry->d_name, "0123456789abcdef") == 8 && entry->d_name[8] == '.' &&
                   entry->d_name[9] >= '0' && entry->d_name[9] <= '9';
    (void)closedir(dir); /* only read */
    return is_found;
}

void ca_find(const struct env_source *env, const char *file, const char *dir,
             struct ca_location *ret_location)
{
    size_t i;

    ret_location->file[0] = ret_location->dir[0] = '\0';
    if (file == NULL && dir == NULL)
        file = env_get_nonempty(env, "AWS_CA_BUNDLE");
    if (file == NULL && dir == NULL) {
        file = env_get_nonempty(env, "SSL_CERT_FILE");
        dir = env_get_nonempty(env, "SSL_CERT_DIR");
    }
    for (i = 0; file == NULL && dir == NULL && i < ARRAY_LEN(system_dirs); i++) {
        if (is_hashed_dir(system_dirs[i]))
            dir = system_dirs[i];
    }
    for (i = 0; file == NULL && dir == NULL && i < ARRAY_LEN(system_files); i++) {
        if (access(system_files[i], R_OK) == 0)
            file = system_files[i];
    }
    /* A path that is too long is cut, and then fails to open with its name in the message. */
    (void)str_copy(ret_location->file, sizeof(ret_location->file), file != NULL ? file : "");
    (void)str_copy(ret_location->dir, sizeof(ret_location->dir), dir != NULL ? dir : "");
}
