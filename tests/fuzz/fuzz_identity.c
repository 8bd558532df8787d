/* Everything about identities that comes from outside: documents of the metadata services, role
 * tokens, the reference agent's vault, the fingerprint. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "schema/fingerprint.h"
#include "transport/container.h"
#include "transport/credentials_json.h"
#include "transport/imds.h"
#include "transport/vault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken as a fingerprint is written and read as the same. */
static void check_fingerprint(const char *text, size_t n)
{
    AUTO(buf_done) struct buf b = {0};
    struct fingerprint f, again;

    if (fingerprint_parse(text, n, &f, NULL) < 0)
        return;
    buf_init(&b, 1u << 20);
    fingerprint_write(&f, &b);
    if (fingerprint_parse(buf_str(&b), b.len, &again, NULL) < 0 ||
        memcmp(&f.hardware, &again.hardware, sizeof(f.hardware)) != 0 ||
        strcmp(f.uuid, again.uuid) != 0 || f.threshold != again.threshold)
        abort();
}

static void check_credentials(const char *text, size_t n, bool is_token)
{
    AUTO(credentials_done) struct credentials c = {0};
    char code[CREDENTIALS_CODE_SIZE];
    bool is_rotation_wanted;
    int r = is_token ? credentials_parse_role_token(text, n, &c, &is_rotation_wanted, NULL)
                     : credentials_parse_document(text, n, &c, code, NULL);

    if (r == 0 && (!credentials_is_clean(c.access_key, CREDENTIALS_ACCESS_KEY_SIZE) ||
                   !credentials_is_clean(secret_reveal(&c.secret_key), 1024)))
        abort();
}

static void check_container(const char *text, size_t n)
{
    struct container_task task;
    const char *zero = memchr(text, '\n', n);
    size_t k = zero != NULL ? (size_t)(zero - text) : n;

    if (container_parse(text, k, text + k, n - k, &task, NULL) == 0 &&
        strncmp(task.instance_id, "ecs:", 4) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(vault_import_done) struct vault_import import = {.key = NULL};
    char *text;
    char line[128];
    size_t n = size > 0 ? size - 1 : 0;

    if (size == 0 || (text = malloc(n + 1)) == NULL)
        return 0;
    memcpy(text, data + 1, n);
    text[n] = '\0';
    switch (data[0] % 7) {
    case 0:
        check_fingerprint(text, n);
        break;
    case 1:
    case 2:
        check_credentials(text, n, data[0] % 7 == 1);
        break;
    case 3:
        check_container(text, n);
        break;
    case 4:
        (void)!imds_parse_region(text, n, line, sizeof(line), NULL); /* either answer is fine */
        (void)!imds_parse_line(text, n, line, sizeof(line), NULL);
        break;
    case 5:
        (void)!vault_parse_reference(text, n, &import, NULL); /* either answer is fine */
        break;
    default:
        (void)container_is_endpoint_allowed(text);
        break;
    }
    free(text);
    return 0;
}
