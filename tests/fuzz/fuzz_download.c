/* What a download reads from strangers: a server's Digest challenge, GitHub's answer, the URL of an
 * object. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/github.h"
#include "transport/digest.h"
#include "transport/s3_url.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void challenge(const char *text)
{
    AUTO(buf_done) struct buf header = {0};
    struct digest_challenge c;

    buf_init(&header, 1u << 16);
    if (digest_challenge_parse(text, &c, NULL) < 0)
        return;
    if (c.nonce[0] == '\0' ||
        digest_answer(&c, "GET", "/", "user", "password", "0011", &header, NULL) < 0 ||
        (strstr(buf_str(&header), "password") != NULL && strstr(text, "password") == NULL))
        abort();
}

static void github(const char *text, size_t n)
{
    AUTO(github_answer_done) struct github_answer a = {.root = NULL};
    size_t i;

    if (github_answer_parse(text, n, &a, NULL) < 0)
        return;
    for (i = 0; i < a.n_entries; i++) /* names become files' names */
        if (a.entries[i].name[0] == '\0' || strchr(a.entries[i].name, '/') != NULL ||
            str_eq(a.entries[i].name, "..") || a.entries[i].path == NULL)
            abort();
}

static void url(const char *text)
{
    struct s3_url u;

    if (s3_url_parse(text, &u, NULL) == 0 &&
        (u.bucket[0] == '\0' || !s3_is_region(u.region) || !str_is_utf8(u.key, strlen(u.key))))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    char *text;

    if (n == 0)
        return 0;
    text = malloc(n);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, n - 1);
    text[n - 1] = '\0';
    switch (data[0] % 3) {
    case 0:
        challenge(text);
        break;
    case 1:
        github(text, n - 1);
        break;
    default:
        url(text);
        break;
    }
    free(text);
    return 0;
}
