/* The files of an update source as bytes: what is read, what is written, and what is signed. The
 * signatures are those of RFC 8032, section 7.1. */
#include "schema_lib.h"

#include "base/str.h"
#include "schema/release.h"
#include "update/signing.h"

static const struct {
    const char *public_key, *message, *signature;
} vectors[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "4"
     "6bd25bf5f0595bbe24655141438e7a100b"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d"
     "8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6"
     "594a7c15e9716ed28dc027beceea1ec40a"},
};

START_TEST(verifies_the_signatures_of_rfc_8032_and_no_others)
{
    unsigned char key[RELEASE_KEY_BYTES], signature[RELEASE_SIGNATURE_BYTES], message[8];
    size_t n = strlen(vectors[_i].message) / 2, at;

    ck_assert(str_unhex(vectors[_i].public_key, key, sizeof(key)));
    ck_assert(str_unhex(vectors[_i].signature, signature, sizeof(signature)));
    ck_assert(str_unhex(vectors[_i].message, message, n));
    ck_assert(signing_verify(key, signature, message, n));
    ck_assert(!signing_verify(key, signature, "another", 7));
    for (at = 0; at < sizeof(signature); at++) {
        signature[at] ^= (unsigned char)(1u << (at % 8));
        ck_assert(!signing_verify(key, signature, message, n));
        signature[at] ^= (unsigned char)(1u << (at % 8));
    }
    for (at = 0; at < sizeof(key); at++) {
        key[at] ^= (unsigned char)(1u << (at % 8));
        ck_assert(!signing_verify(key, signature, message, n));
        key[at] ^= (unsigned char)(1u << (at % 8));
    }
}
END_TEST

/* S and S + L are one number modulo L: only the smaller is a signature, else one file had two. */
START_TEST(a_signature_has_one_form)
{
    static const char order[] = "edd3f55c1a631258d69cf7a2def9de14"
                                "00000000000000000000000000000010";
    unsigned char key[RELEASE_KEY_BYTES], signature[RELEASE_SIGNATURE_BYTES], l[32];
    unsigned carry = 0;
    size_t i;

    ck_assert(str_unhex(vectors[0].public_key, key, sizeof(key)));
    ck_assert(str_unhex(vectors[0].signature, signature, sizeof(signature)));
    ck_assert(str_unhex(order, l, sizeof(l)));
    for (i = 0; i < sizeof(l); i++) {
        carry += signature[32 + i] + l[i];
        signature[32 + i] = (unsigned char)carry;
        carry >>= 8;
    }
    ck_assert_uint_eq(carry, 0);
    ck_assert(!signing_verify(key, signature, "", 0));
}
END_TEST

START_TEST(what_is_signed_is_type_and_payload_with_their_lengths)
{
    char payload[] = "{\"a\":\"\xc3\xa9\"}";
    const struct release_envelope e = {
        .role = RELEASE_TIMESTAMP, .payload = payload, .n_payload = sizeof(payload) - 1};
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, 1000);
    release_envelope_to_sign(&e, &b);
    ck_assert_str_eq(buf_str(&b), "DSSEv1 35 application/vnd.ssmd.timestamp+json 10 "
                                  "{\"a\":\"\xc3\xa9\"}");
}
END_TEST

START_TEST(an_envelope_is_read_as_it_was_written)
{
    char payload[] = "{\"x\":[1,2]}";
    AUTO(release_envelope_done)
    struct release_envelope e = {
        .role = RELEASE_ROOT, .payload = strdup(payload), .n_payload = sizeof(payload) - 1};
    AUTO(release_envelope_done) struct release_envelope again = {.role = RELEASE_ROOT};
    AUTO(buf_done) struct buf b = {0};
    struct release_signature s = {.bytes = {1, 2, 3}};
    struct err err = {0};
    unsigned i;

    for (i = 0; i < RELEASE_MAX_SIGNATURES; i++) {
        (void)snprintf(s.keyid, sizeof(s.keyid), "%064x", i);
        ck_assert_int_eq(release_envelope_add(&e, &s, &err), 0);
    }
    ck_assert_int_eq(release_envelope_add(&e, &s, &err), 0); /* in the place of its like */
    ck_assert_uint_eq(e.n_signatures, RELEASE_MAX_SIGNATURES);
    s.keyid[0] = 'f';
    ck_assert_int_eq(release_envelope_add(&e, &s, &err), ERR_LIMIT);
    buf_init(&b, RELEASE_ROOT_MAX_BYTES);
    release_envelope_write(&e, &b);
    ck_assert_msg(release_envelope_parse(b.data, b.len, RELEASE_ROOT, &again, &err) == 0, "%s",
                  err.text);
    ck_assert_uint_eq(again.n_payload, e.n_payload);
    ck_assert_mem_eq(again.payload, e.payload, e.n_payload);
    ck_assert_uint_eq(again.n_signatures, e.n_signatures);
    ck_assert_mem_eq(again.signatures, e.signatures, e.n_signatures * sizeof(*e.signatures));
}
END_TEST

#define HEADER                                                                                     \
    "\"ManifestVersion\":3,\"Issued\":\"2026-01-01T00:00:00Z\",\"Expires\":\"2026-02-01T00:00:00." \
    "5Z\""

START_TEST(what_the_reference_writes_is_read_with_its_defaults)
{
    static const char text[] =
        "{\"SchemaVersion\":\"1.0\"," HEADER ",\"UriFormat\":\"https://s3.{Region}.x/{FileName}\","
        "\"Later\":{\"a\":[null]},\"Packages\":[{\"Name\":\"amazon-ssm-agent\",\"Files\":[{"
        "\"Name\":"
        "\"amazon-ssm-agent-linux-amd64.tar.gz\",\"AvailableVersions\":["
        "{\"Version\":\"3.2.2303.0\",\"Checksum\":"
        "\"AAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBaaaaaaaaaaaaaaaabb"
        "bbbbbbbbbbbbbb\",\"Status\":\"Deprecated\"},{\"Version\":\"3.3.859.0\"},"
        "{\"Version\":\"3.3.987.0\",\"Status\":\"\",\"Checksum\":\"\",\"Later\":1},"
        "{\"Version\":\"3.4\",\"Status\":\"active\"}]}]}]}";
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    const struct release_file *f;
    struct err err = {0};

    ck_assert_msg(release_manifest_parse(text, sizeof(text) - 1, &m, &err) == 0, "%s", err.text);
    ck_assert_int_eq(m.version, 3);
    ck_assert_int_eq(m.issued_unix_ms, 1767225600000);
    ck_assert_int_eq(m.expires_unix_ms, 1769904000500);
    ck_assert_str_eq(m.rollback_floor, "");
    f = release_find_file(release_find_package(&m, "amazon-ssm-agent"),
                          "amazon-ssm-agent-linux-amd64.tar.gz");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(f->n_versions, 4);
    ck_assert_int_eq(f->versions[0].status, RELEASE_DEPRECATED);
    ck_assert_str_eq(f->versions[0].sha256,
                     "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb");
    ck_assert_int_eq(f->versions[1].status, RELEASE_ACTIVE);
    ck_assert_int_eq(f->versions[1].rollout_percent, 100);
    ck_assert_str_eq(f->versions[1].sha256, "");
    ck_assert_int_eq(f->versions[1].length_bytes, 0);
    ck_assert_int_eq(f->versions[2].status, RELEASE_ACTIVE);
    ck_assert_int_eq(f->versions[3].status, RELEASE_UNKNOWN); /* case counts */
    ck_assert_ptr_eq(release_find_version(f, "3.03.0859.0"), &f->versions[1]);
    ck_assert_ptr_null(release_find_version(f, "3.3"));
    ck_assert_ptr_null(release_find_version(f, "../3.4"));
    ck_assert_ptr_null(release_find_package(&m, "ssmd"));
}
END_TEST

START_TEST(a_manifest_is_read_as_it_was_written)
{
    const struct release_version v = {
        .version = "1.2.3",
        .sha256 = "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb",
        .length_bytes = 77,
        .unpacked_bytes = 99,
        .status = RELEASE_INACTIVE,
        .minimum_source = "1.0",
        .rollout_percent = 0,
        .not_before_unix_ms = 1767225600123};
    AUTO(release_manifest_done)
    struct release_manifest m = {.version = 9,
                                 .issued_unix_ms = 1767225600000,
                                 .expires_unix_ms = 1767225600001,
                                 .uri_format = "https://h/\"{FileName}\"\\",
                                 .rollback_floor = "0.1"};
    AUTO(release_manifest_done) struct release_manifest again = {.version = 0};
    AUTO(buf_done) struct buf b = {0}, second = {0};
    struct err err = {0};

    buf_init(&second, 10000);
    ck_assert_int_eq(release_manifest_put(&m, "ssmd", "f", &v, &err), 0);
    ck_assert_int_eq(release_manifest_put(&m, "ssmd", "g", &v, &err), 0);
    ck_assert_int_eq(release_manifest_put(&m, "ssmd", "f", &v, &err), 0); /* in its own place */
    ck_assert_uint_eq(m.packages[0].files[0].n_versions, 1);
    ck_assert_int_eq(release_manifest_put(&m, "../x", "f", &v, &err), ERR_INVALID);
    ck_assert_int_eq(release_manifest_put(&m, "ssmd", "f/g", &v, &err), ERR_INVALID);
    buf_init(&b, 10000);
    release_manifest_write(&m, &b);
    ck_assert_msg(release_manifest_parse(b.data, b.len, &again, &err) == 0, "%s", err.text);
    ck_assert_int_eq(again.version, 9);
    ck_assert_str_eq(again.uri_format, m.uri_format);
    ck_assert_str_eq(again.rollback_floor, "0.1");
    ck_assert_uint_eq(again.packages[0].n_files, 2);
    ck_assert_int_eq(again.packages[0].files[1].versions[0].not_before_unix_ms, 1767225600123);
    ck_assert_int_eq(again.packages[0].files[1].versions[0].rollout_percent, 0);
    release_manifest_write(&again, &second);
    ck_assert_str_eq(buf_str(&second), buf_str(&b));
}
END_TEST

START_TEST(a_list_without_end_is_refused)
{
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    AUTO(buf_done) struct buf b = {0};
    struct err err = {0};
    int i;

    buf_init(&b, RELEASE_MANIFEST_MAX_BYTES);
    (void)buf_printf(&b, "{\"SchemaVersion\":\"1.0\"," HEADER ",\"UriFormat\":\"x\",\"Packages\":"
                         "[{\"Name\":\"p\",\"Files\":[{\"Name\":\"f\",\"AvailableVersions\":[");
    for (i = 0; i < 1025; i++)
        (void)buf_printf(&b, "%s{\"Version\":\"1.%d\"}", i > 0 ? "," : "", i);
    (void)buf_add_str(&b, "]}]}]}");
    ck_assert_int_eq(b.failed, 0);
    ck_assert_int_eq(release_manifest_parse(b.data, b.len, &m, &err), ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.text, "AvailableVersions has 1025"));
}
END_TEST

static Suite *release_suite(void)
{
    Suite *s = suite_create("release");
    TCase *t = tcase_create("release");

    tcase_add_loop_test(t, verifies_the_signatures_of_rfc_8032_and_no_others, 0,
                        (int)ARRAY_LEN(vectors));
    tcase_add_test(t, a_signature_has_one_form);
    tcase_add_test(t, what_is_signed_is_type_and_payload_with_their_lengths);
    tcase_add_test(t, an_envelope_is_read_as_it_was_written);
    tcase_add_test(t, what_the_reference_writes_is_read_with_its_defaults);
    tcase_add_test(t, a_manifest_is_read_as_it_was_written);
    tcase_add_test(t, a_list_without_end_is_refused);
    suite_add_tcase(s, t);
    return s;
}

SUITE_MAIN(release_suite)
