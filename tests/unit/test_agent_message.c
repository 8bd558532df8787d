/* The binary message: the vectors of the specification, and what must be dropped. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/unit/agent_message_vectors.h"

struct bytes {
    unsigned char *at; /* owned */
    size_t n;
};

static struct bytes unhex(const char *hex)
{
    struct bytes b = {.n = strlen(hex) / 2};

    b.at = malloc(b.n + 1);
    ck_assert_ptr_nonnull(b.at);
    ck_assert(str_unhex(hex, b.at, b.n));
    return b;
}

static const struct agent_message_vector *vector(const char *name)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(vectors); i++)
        if (str_eq(vectors[i].name, name))
            return &vectors[i];
    ck_abort_msg("there is no vector %s", name);
}

START_TEST(reads_each_vector)
{
    const struct agent_message_vector *v = &vectors[_i];
    struct bytes b = unhex(v->hex);
    struct agent_message m;
    struct err err = {0};

    ck_assert_msg(agent_message_read(b.at, b.n, &m, &err) == 0, "%s: %s", v->name, err.text);
    ck_assert_str_eq(m.type, v->m.type);
    ck_assert_uint_eq(m.schema_version, v->m.schema_version);
    ck_assert_uint_eq(m.created_unix_ms, v->m.created_unix_ms);
    ck_assert_int_eq(m.sequence, v->m.sequence);
    ck_assert_uint_eq(m.flags, v->m.flags);
    ck_assert_str_eq(m.id, v->m.id);
    ck_assert_uint_eq(m.payload_type, v->m.payload_type);
    if (!str_eq(m.type, "start_publication")) { /* whose payload is not looked at */
        ck_assert_uint_eq(m.payload_len, v->m.payload_len);
        ck_assert_mem_eq(m.payload, b.at + AGENT_MESSAGE_HEADER_BYTES, m.payload_len);
    }
    free(b.at);
}
END_TEST

START_TEST(writes_each_vector)
{
    const struct agent_message_vector *v = &vectors[_i];
    struct bytes b = unhex(v->hex);
    struct agent_message m = v->m;
    struct err err = {0};
    AUTO(buf_done) struct buf out = {0};

    buf_init(&out, 1u << 20);
    m.payload = (const char *)b.at + AGENT_MESSAGE_HEADER_BYTES;
    ck_assert_msg(agent_message_write(&m, &out, &err) == 0, "%s: %s", v->name, err.text);
    ck_assert_uint_eq(out.len, b.n);
    ck_assert_mem_eq(out.data, b.at, b.n);
    free(b.at);
}
END_TEST

static void expect_dropped(struct bytes b, const char *part)
{
    struct agent_message m;
    struct err err = {0};

    ck_assert_int_eq(agent_message_read(b.at, b.n, &m, &err), ERR_PROTOCOL);
    ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" does not say \"%s\"", err.text, part);
}

static const struct {
    const char *what;
    size_t at, n; /* bytes of V2 that are replaced; n 0: none */
    const char *hex;
    size_t cut; /* 0: whole */
    const char *says;
} bad[] = {
    {"a changed payload", 121, 1, "ff", 0, "digest"},
    {"a changed digest", 80, 1, "00", 0, "digest"},
    {"a header that ends behind the message", 0, 4, "00001000", 0, "a header of 4096"},
    {"a header of four gigabytes", 0, 4, "ffffffff", 0, "a header of 4294967295"},
    {"a header that ends before its digest", 0, 4, "0000006f", 0, "a header of 111"},
    {"no header length", 0, 4, "00000000", 0, "a header of 0"},
    {"a payload longer than what came", 116, 4, "00000008", 0, "instead of 8"},
    {"a payload of four gigabytes", 116, 4, "ffffffff", 0, "instead of 4294967295"},
    {"no date", 40, 8, "0000000000000000", 0, "date"},
    {"a date beyond counting", 40, 8, "ffffffffffffffff", 0, "date"},
    {"a type of blanks", 4, 20, "2020202020202020202020202020202020202020", 0, "type"},
    {"a type of NULs and blanks", 4, 20, "0000202020202020202020202020202020202020", 0, "type"},
    {"a NUL inside its type", 10, 1, "00", 0, "NUL"},
    {"119 bytes", 0, 0, "", 119, "119"},
    {"64 bytes", 0, 0, "", 64, "64"},
    {"3 bytes", 0, 0, "", 3, "3 bytes"},
    {"nothing", 0, 0, "", SIZE_MAX, "0 bytes"},
};

START_TEST(drops_what_is_damaged)
{
    struct bytes b = unhex(vector("V2")->hex);

    if (bad[_i].n > 0)
        ck_assert(str_unhex(bad[_i].hex, b.at + bad[_i].at, bad[_i].n));
    if (bad[_i].cut != 0)
        b.n = bad[_i].cut == SIZE_MAX ? 0 : bad[_i].cut;
    expect_dropped(b, bad[_i].says);
    free(b.at);
}
END_TEST

START_TEST(accepts_an_empty_header_of_pause_publication)
{
    struct bytes b = unhex(vector("V6")->hex);
    struct agent_message m;
    struct err err = {0};

    memset(b.at, 0, 4);
    memset(b.at + 40, 0, AGENT_MESSAGE_HEADER_BYTES - 40);
    ck_assert_msg(agent_message_read(b.at, b.n, &m, &err) == 0, "%s", err.text);
    ck_assert_str_eq(m.type, "pause_publication");
    ck_assert_uint_eq(m.payload_len, 0);
    free(b.at);
}
END_TEST

START_TEST(ignores_what_stands_behind_the_payload)
{
    struct bytes b = unhex(vector("V1")->hex);
    struct agent_message m;
    struct err err = {0};

    b.at = realloc(b.at, b.n + 3);
    ck_assert_ptr_nonnull(b.at);
    memcpy(b.at + b.n, "abc", 3);
    ck_assert_msg(agent_message_read(b.at, b.n + 3, &m, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(m.payload_len, 3);
    free(b.at);
}
END_TEST

START_TEST(takes_nuls_for_padding)
{
    struct bytes b = unhex(vector("V9")->hex);
    struct agent_message m;
    struct err err = {0};

    memset(b.at + 4 + strlen("agent_job"), 0, 32 - strlen("agent_job"));
    ck_assert_msg(agent_message_read(b.at, b.n, &m, &err) == 0, "%s", err.text);
    ck_assert_str_eq(m.type, "agent_job");
    free(b.at);
}
END_TEST

START_TEST(refuses_to_write_what_no_one_could_read)
{
    static const struct agent_message wrong[] = {
        {.type = "", .id = "01234567-89ab-4cde-8f01-23456789abcd", .payload = ""},
        {.type = "agent_job", .id = "01234567-89ab-4cde-8f01-23456789abc", .payload = ""},
        {.type = "agent_job", .id = "", .payload = ""},
    };
    AUTO(buf_done) struct buf out = {0};
    struct err err = {0};
    size_t i;

    buf_init(&out, 1000);
    for (i = 0; i < ARRAY_LEN(wrong); i++)
        ck_assert_int_eq(agent_message_write(&wrong[i], &out, &err), ERR_INVALID);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(writes_all_of_a_message_or_nothing)
{
    const struct agent_message m = {.type = "agent_job_ack",
                                    .created_unix_ms = 1,
                                    .id = "01234567-89ab-4cde-8f01-23456789abcd",
                                    .payload = "0123456789",
                                    .payload_len = 10};
    AUTO(buf_done) struct buf out = {0};
    struct err err = {0};

    buf_init(&out, AGENT_MESSAGE_HEADER_BYTES + 9);
    ck_assert_int_eq(agent_message_write(&m, &out, &err), ERR_LIMIT);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_message");
    TCase *tc = tcase_create("agent_message");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(tc, reads_each_vector, 0, (int)ARRAY_LEN(vectors));
    tcase_add_loop_test(tc, writes_each_vector, 0, (int)ARRAY_LEN(vectors));
    tcase_add_loop_test(tc, drops_what_is_damaged, 0, (int)ARRAY_LEN(bad));
    tcase_add_test(tc, accepts_an_empty_header_of_pause_publication);
    tcase_add_test(tc, ignores_what_stands_behind_the_payload);
    tcase_add_test(tc, takes_nuls_for_padding);
    tcase_add_test(tc, refuses_to_write_what_no_one_could_read);
    tcase_add_test(tc, writes_all_of_a_message_or_nothing);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
