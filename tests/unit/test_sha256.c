/* SHA-256 and HMAC-SHA256, compared with OpenSSL's, and the published vectors of both. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/sha256.h"
#include "base/str.h"

#define MAX_BYTES 300u /* several blocks, and every length around their ends */

static unsigned char bytes[MAX_BYTES];

static void fill(void)
{
    uint32_t x = 1;
    size_t i;

    for (i = 0; i < sizeof(bytes); i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(x >> 24);
    }
}

START_TEST(digests_are_those_of_openssl)
{
    unsigned char mine[SHA256_SIZE], theirs[SHA256_SIZE];
    size_t n, cut;

    for (n = 0; n <= MAX_BYTES; n++) {
        unsigned size = sizeof(theirs);

        ck_assert_int_eq(EVP_Digest(bytes, n, theirs, &size, EVP_sha256(), NULL), 1);
        for (cut = 0; cut <= n; cut += 1 + n / 7) { /* however it comes in pieces */
            struct sha256 s;

            sha256_init(&s);
            sha256_add(&s, bytes, cut);
            sha256_add(&s, bytes + cut, n - cut);
            sha256_end(&s, mine);
            ck_assert_mem_eq(mine, theirs, sizeof(mine));
        }
    }
}
END_TEST

START_TEST(codes_are_those_of_openssl)
{
    unsigned char mine[SHA256_SIZE], theirs[SHA256_SIZE];
    size_t key_len, n;

    for (key_len = 0; key_len <= 150; key_len++)
        for (n = 0; n <= 150; n++) {
            unsigned size = sizeof(theirs);

            ck_assert_ptr_nonnull(
                HMAC(EVP_sha256(), bytes + 150, (int)key_len, bytes, n, theirs, &size));
            sha256_hmac(bytes + 150, key_len, bytes, n, mine);
            ck_assert_mem_eq(mine, theirs, sizeof(mine));
        }
}
END_TEST

/* FIPS 180-4's "abc"; RFC 4231, cases 2 and 6. */
START_TEST(published_vectors_hold)
{
    unsigned char long_key[131], mac[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    const char *text;

    sha256_hex_of("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    text = "what do ya want for nothing?";
    sha256_hmac("Jefe", 4, text, strlen(text), mac);
    str_hex(mac, sizeof(mac), hex);
    ck_assert_str_eq(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    text = "Test Using Larger Than Block-Size Key - Hash Key First";
    memset(long_key, 0xaa, sizeof(long_key));
    sha256_hmac(long_key, sizeof(long_key), text, strlen(text), mac);
    str_hex(mac, sizeof(mac), hex);
    ck_assert_str_eq(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}
END_TEST

START_TEST(the_code_may_take_its_keys_place)
{
    unsigned char key[SHA256_SIZE], mac[SHA256_SIZE];

    memcpy(key, bytes, sizeof(key));
    sha256_hmac(key, sizeof(key), bytes, 100, mac);
    sha256_hmac(key, sizeof(key), bytes, 100, key);
    ck_assert_mem_eq(key, mac, sizeof(mac));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sha256");
    TCase *t = tcase_create("sha256");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    fill();
    tcase_add_test(t, digests_are_those_of_openssl);
    tcase_add_test(t, codes_are_those_of_openssl);
    tcase_add_test(t, published_vectors_hold);
    tcase_add_test(t, the_code_may_take_its_keys_place);
    suite_add_tcase(suite, t);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
