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

/* A path that is too long is cut, and then fails to open with its name in the message. */
static void set_location(struct ca_location *l, const char *file, const char *dir)
{
    (void)str_copy(l->file, sizeof(l->file), file != NULL ? file : "");
    (void)str_copy(l->dir, sizeof(l->dir), dir != NULL ? dir : "");
}

void ca_find_named(const struct env_source *env, const char *file, const char *dir,
                   struct ca_location *ret_location)
{
    if (file == NULL && dir == NULL)
        file = env_get_nonempty(env, "AWS_CA_BUNDLE");
    if (file == NULL && dir == NULL) {
        file = env_get_nonempty(env, "SSL_CERT_FILE");
        dir = env_get_nonempty(env, "SSL_CERT_DIR");
    }
    set_location(ret_location, file, dir);
}

void ca_find(const struct env_source *env, const char *file, const char *dir,
             struct ca_location *ret_location)
{
    const char *system_file = NULL, *system_dir = NULL;
    size_t i;

    ca_find_named(env, file, dir, ret_location);
    if (ret_location->file[0] != '\0' || ret_location->dir[0] != '\0')
        return;
    for (i = 0; system_dir == NULL && i < ARRAY_LEN(system_dirs); i++) {
        if (is_hashed_dir(system_dirs[i]))
            system_dir = system_dirs[i];
    }
    for (i = 0; system_dir == NULL && system_file == NULL && i < ARRAY_LEN(system_files); i++) {
        if (access(system_files[i], R_OK) == 0)
            system_file = system_files[i];
    }
    set_location(ret_location, system_file, system_dir);
}
