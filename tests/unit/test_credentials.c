/* Credentials: the INI text, the environment, the file that changes, the chain, waiting. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "transport/credentials.h"

#define PLAIN "[default]\naws_access_key_id = AKIDA\naws_secret_access_key = s1\n"

static const struct {
    const char *name, *text, *profile;
    int code;
    const char *key, *secret, *token; /* on success */
    const char *problem;              /* part of the text on failure */
} rows[] = {
    {"plain", PLAIN, "default", 0, "AKIDA", "s1", "", NULL},
    {"no blanks, token, no last newline",
     "[default]\naws_access_key_id=AKIDA\naws_secret_access_key=s/1+=\naws_session_token=t==",
     "default", 0, "AKIDA", "s/1+=", "t==", NULL},
    {"carriage returns", "[default]\r\naws_access_key_id = K\r\naws_secret_access_key = S\r\n",
     "default", 0, "K", "S", "", NULL},
    {"byte order mark", "\xef\xbb\xbf" PLAIN, "default", 0, "AKIDA", "s1", "", NULL},
    {"keys in any case", "[default]\nAWS_ACCESS_KEY_ID = K\nAws_Secret_Access_Key = S\n", "default",
     0, "K", "S", "", NULL},
    {"comments",
     "# first\n[default] ; why\n; x\naws_access_key_id = K # mine\naws_secret_access_key = S ; "
     "too\n"
     "#aws_session_token = t\n",
     "default", 0, "K", "S", "", NULL},
    {"a comment sign inside a value stays",
     "[default]\naws_access_key_id = K\naws_secret_access_key = S#1;2\n", "default", 0, "K",
     "S#1;2", "", NULL},
    {"the profile is chosen", PLAIN "[p]\naws_access_key_id=K2\naws_secret_access_key=S2\n", "p", 0,
     "K2", "S2", "", NULL},
    {"profile prefix", "[ profile  p ]\naws_access_key_id=K2\naws_secret_access_key=S2\n", "p", 0,
     "K2", "S2", "", NULL},
    {"a later value wins", PLAIN "[default]\naws_secret_access_key = s2\n", "default", 0, "AKIDA",
     "s2", "", NULL},
    {"other lines are skipped",
     "stray\n= x\n[]\n[broken\n[default]\nno equals sign\nregion = x\ns3 =\n  aws_access_key_id = "
     "nested\naws_access_key_id = K\naws_secret_access_key = S\n",
     "default", 0, "K", "S", "", NULL},
    {"empty", "", "default", ERR_NOT_FOUND, NULL, NULL, NULL, "[default]"},
    {"no such profile", PLAIN, "p", ERR_NOT_FOUND, NULL, NULL, NULL, "[p]"},
    {"names are compared whole", PLAIN, "defaul", ERR_NOT_FOUND, NULL, NULL, NULL, "[defaul]"},
    {"no secret", "[default]\naws_access_key_id = K\n", "default", ERR_INVALID, NULL, NULL, NULL,
     "aws_secret_access_key"},
    {"no key", "[default]\naws_secret_access_key = K\n", "default", ERR_INVALID, NULL, NULL, NULL,
     "aws_access_key_id"},
    {"emptied", PLAIN "aws_secret_access_key = # gone\n", "default", ERR_INVALID, NULL, NULL, NULL,
     "aws_secret_access_key"},
    {"blank inside", "[default]\naws_access_key_id = K K\naws_secret_access_key = S\n", "default",
     ERR_INVALID, NULL, NULL, NULL, "aws_access_key_id"},
    {"not ASCII", "[default]\naws_access_key_id = K\naws_secret_access_key = S\xc3\xa4\n",
     "default", ERR_INVALID, NULL, NULL, NULL, "aws_secret_access_key"},
    {"key too long",
     "[default]\naws_secret_access_key=S\naws_access_key_id="
     "0123456789012345678901234567890123456789012345678901234567890123456789"
     "01234567890123456789012345678901234567890123456789012345678\n",
     "default", ERR_INVALID, NULL, NULL, NULL, "128"},
};

START_TEST(ini_text_is_read_tolerantly_and_failures_name_the_member)
{
    AUTO(credentials_done) struct credentials c = {0};
    struct err err = {0};
    int r = credentials_parse_ini(rows[_i].text, strlen(rows[_i].text), rows[_i].profile, &c, &err);

    ck_assert_msg(r == rows[_i].code, "%s: %d %s", rows[_i].name, r, err.text);
    if (r == 0) {
        ck_assert_str_eq(c.access_key, rows[_i].key);
        ck_assert_str_eq(secret_reveal(&c.secret_key), rows[_i].secret);
        ck_assert_str_eq(secret_reveal(&c.session_token), rows[_i].token);
    } else {
        ck_assert_msg(strstr(err.text, rows[_i].problem) != NULL, "%s: %s", rows[_i].name,
                      err.text);
    }
}
END_TEST

START_TEST(ini_text_may_end_anywhere)
{
    static const char text[] = PLAIN "aws_session_token = t ; c\n";
    size_t n;

    for (n = 0; n < sizeof(text); n++) {
        AUTO(credentials_done) struct credentials c = {0};
        char *copy = malloc(n > 0 ? n : 1); /* exactly n bytes, so that ASan sees one too many */
        int r;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, text, n);
        r = credentials_parse_ini(copy, n, "default", &c, NULL);
        ck_assert(r == 0 || r == ERR_NOT_FOUND || r == ERR_INVALID);
        free(copy);
    }
}
END_TEST

/* --- providers --- */

static const char *variables[16]; /* name, value, ... NULL */

static const char *get_variable(void *ctx, const char *name)
{
    size_t i;

    (void)ctx;
    for (i = 0; variables[i] != NULL; i += 2) {
        if (strcmp(variables[i], name) == 0)
            return variables[i + 1];
    }
    return NULL;
}
static const struct env_source env = {get_variable, NULL};

static char dir[] = "/tmp/test_credentials_XXXXXX";
static char path[64];

static void setup(void)
{
    memset(variables, 0, sizeof(variables));
    (void)str_copy(dir, sizeof(dir), "/tmp/test_credentials_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/credentials", dir);
}

static void teardown(void)
{
    (void)unlink(path); /* may not be there */
    ck_assert_int_eq(rmdir(dir), 0);
}

/* Replaced by rename, as a careful writer does. */
static void write_file(const char *key, const char *secret)
{
    char other[80];
    FILE *f;

    (void)snprintf(other, sizeof(other), "%s.new", path);
    f = fopen(other, "w");
    ck_assert_ptr_nonnull(f);
    (void)fprintf(f, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", key,
                  secret);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(rename(other, path), 0);
}

static void expect_key(struct credentials_provider *p, const char *key)
{
    const struct credentials *c = NULL;
    struct err err = {0};

    ck_assert_msg(credentials_get(p, &c, &err) == 0, "%s", err.text);
    ck_assert_str_eq(c->access_key, key);
}

START_TEST(the_environment_wins_and_old_names_work)
{
    struct credentials_provider *p;
    const struct credentials *c = NULL;

    write_file("FILE", "s");
    variables[0] = "AWS_SHARED_CREDENTIALS_FILE";
    variables[1] = path;
    variables[2] = "AWS_ACCESS_KEY";
    variables[3] = "OLD";
    variables[4] = "AWS_SECRET_KEY";
    variables[5] = "s";
    ck_assert_int_eq(credentials_default_new(&env, &p, NULL), 0);
    expect_key(p, "OLD");
    variables[6] = "AWS_ACCESS_KEY_ID";
    variables[7] = "NEW";
    variables[8] = "AWS_SESSION_TOKEN";
    variables[9] = "token";
    expect_key(p, "NEW");
    ck_assert_int_eq(credentials_get(p, &c, NULL), 0);
    ck_assert_str_eq(secret_reveal(&c->session_token), "token");
    variables[4] = "X"; /* no secret any more */
    expect_key(p, "FILE");
    credentials_provider_free(p);
}
END_TEST

START_TEST(the_environment_names_the_file_and_its_profile)
{
    struct credentials_provider *p;
    FILE *f;

    write_file("PLAIN", "s");
    f = fopen(path, "a");
    ck_assert_ptr_nonnull(f);
    (void)fprintf(f, "[other]\naws_access_key_id = OTHER\naws_secret_access_key = s\n");
    ck_assert_int_eq(fclose(f), 0);
    variables[0] = "AWS_SHARED_CREDENTIALS_FILE";
    variables[1] = path;
    variables[2] = "AWS_PROFILE";
    variables[3] = "";
    ck_assert_int_eq(credentials_file_new(&env, NULL, NULL, &p, NULL), 0);
    expect_key(p, "PLAIN");
    credentials_provider_free(p);
    variables[3] = "other";
    ck_assert_int_eq(credentials_file_new(&env, NULL, NULL, &p, NULL), 0);
    expect_key(p, "OTHER");
    credentials_provider_free(p);
}
END_TEST

START_TEST(every_source_that_failed_is_named)
{
    struct credentials_provider *p;
    const struct credentials *c = NULL;
    struct err err = {0};
    AUTO(buf_done) struct buf text = {0};

    buf_init(&text, 4096);
    variables[0] = "HOME";
    variables[1] = dir;
    ck_assert_int_eq(credentials_default_new(&env, &p, NULL), 0);
    credentials_describe(p, &text);
    ck_assert_str_eq(text.data, "no credentials were needed yet\n");
    ck_assert_int_eq(credentials_get(p, &c, &err), ERR_AUTH);
    ck_assert_ptr_nonnull(strstr(err.text, "AWS_ACCESS_KEY_ID is not set"));
    ck_assert_ptr_nonnull(strstr(err.text, "/.aws/credentials: open: No such file"));
    buf_clear(&text);
    credentials_describe(p, &text);
    ck_assert_ptr_nonnull(strstr(text.data, "environment: AWS_ACCESS_KEY_ID is not set\n"));
    ck_assert_ptr_nonnull(strstr(text.data, "/.aws/credentials: open: No such file"));
    buf_clear(&text);
    credentials_describe_on_one_line(p, &text);
    ck_assert_ptr_null(strchr(text.data, '\n'));
    ck_assert_ptr_nonnull(strstr(text.data, "environment: AWS_ACCESS_KEY_ID is not set; "));
    ck_assert_ptr_nonnull(strstr(text.data, "/.aws/credentials: open: No such file"));
    credentials_provider_free(p);
}
END_TEST

START_TEST(a_changed_file_is_noticed_at_the_next_use)
{
    struct credentials_provider *p;
    const struct credentials *c = NULL;
    struct err err = {0};
    AUTO(buf_done) struct buf text = {0};

    buf_init(&text, 4096);
    write_file("ONE", "s");
    ck_assert_int_eq(credentials_file_new(&env, path, NULL, &p, NULL), 0);
    expect_key(p, "ONE");
    expect_key(p, "ONE");
    write_file("TWO", "s");
    expect_key(p, "TWO");
    credentials_describe(p, &text);
    ck_assert_ptr_nonnull(strstr(text.data, "in use, profile [default], access key TWO"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(credentials_get(p, &c, &err), ERR_AUTH);
    write_file("THREE", "s");
    expect_key(p, "THREE");
    credentials_provider_free(p);
}
END_TEST

START_TEST(refused_credentials_are_worth_another_try_only_when_the_source_has_others)
{
    struct credentials_provider *p;

    write_file("ONE", "s");
    ck_assert_int_eq(credentials_file_new(&env, path, NULL, &p, NULL), 0);
    expect_key(p, "ONE");
    ck_assert(!credentials_reject(p, "ONE"));
    write_file("TWO", "s");
    ck_assert(credentials_reject(p, "ONE"));
    expect_key(p, "TWO");
    credentials_provider_free(p);
}
END_TEST

START_TEST(odd_files_are_refused_with_their_reason)
{
    struct credentials_provider *p;
    const struct credentials *c = NULL;
    struct err err = {0};
    int fd;

    ck_assert_int_eq(credentials_file_new(&env, dir, NULL, &p, NULL), 0);
    ck_assert_int_eq(credentials_get(p, &c, &err), ERR_AUTH);
    ck_assert_ptr_nonnull(strstr(err.text, "not a regular file"));
    credentials_provider_free(p);

    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, CREDENTIALS_MAX_FILE_BYTES + 1), 0);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(credentials_file_new(&env, path, NULL, &p, NULL), 0);
    ck_assert_int_eq(credentials_get(p, &c, &err), ERR_AUTH);
    ck_assert_ptr_nonnull(strstr(err.text, "larger than"));
    credentials_provider_free(p);
}
END_TEST

/* A source that has to ask somebody, as the metadata service will be. */
struct slow_source {
    struct credentials_provider base;
    bool is_ready, is_freed;
    struct credentials found;
};

static int slow_get(struct credentials_provider *p, const struct credentials **ret, struct err *err)
{
    struct slow_source *s = container_of(p, struct slow_source, base);

    if (!s->is_ready)
        return err_set(err, ERR_BUSY, "being fetched");
    *ret = &s->found;
    return 0;
}
static void slow_reject(struct credentials_provider *p)
{
    container_of(p, struct slow_source, base)->is_ready = false;
}
static void slow_describe(const struct credentials_provider *p, struct buf *b)
{
    (void)p;
    (void)buf_add_str(b, "slow\n");
}
static void slow_free(struct credentials_provider *p)
{
    container_of(p, struct slow_source, base)->is_freed = true;
}
static const struct credentials_ops slow_ops = {slow_get, slow_reject, slow_describe, slow_free};

static struct credentials_waiter waiters[3];
static unsigned n_woken[3];

static void count_wake(void *ctx)
{
    size_t i = (size_t)((unsigned *)ctx - n_woken);

    n_woken[i]++;
    if (i == 0) {
        credentials_unwait(&waiters[1]); /* still in the round, or already told */
        credentials_unwait(&waiters[2]);
    }
}

START_TEST(those_who_wait_are_woken_through_the_chain_unless_they_left)
{
    struct slow_source slow = {.base = {.ops = &slow_ops}, .found = {.access_key = "SLOW"}};
    struct credentials_provider *sources[1] = {&slow.base}, *chain;
    const struct credentials *c = NULL;
    size_t i;

    memset(n_woken, 0, sizeof(n_woken));
    ck_assert_int_eq(credentials_chain_new(sources, 1, &chain, NULL), 0);
    ck_assert_int_eq(credentials_get(chain, &c, NULL), ERR_BUSY);
    for (i = 0; i < ARRAY_LEN(waiters); i++)
        waiters[i] = (struct credentials_waiter){.wake = count_wake, .ctx = &n_woken[i]};
    credentials_wait(chain, &waiters[1]);
    credentials_wait(chain, &waiters[2]);
    credentials_wait(chain, &waiters[0]); /* the last to wait is the first to be told */
    slow.is_ready = true;
    credentials_wake_all(&slow.base);
    ck_assert_uint_eq(n_woken[0], 1);
    ck_assert_uint_eq(n_woken[1], 0);
    ck_assert_uint_eq(n_woken[2], 0);
    expect_key(chain, "SLOW");
    ck_assert(credentials_reject(chain, "SLOW"));
    ck_assert_int_eq(credentials_get(chain, &c, NULL), ERR_BUSY);
    credentials_provider_free(chain);
    ck_assert(slow.is_freed);
    ck_assert_ptr_null(slow.base.waiters);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("credentials");
    TCase *ini = tcase_create("ini"), *providers = tcase_create("providers");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(ini, ini_text_is_read_tolerantly_and_failures_name_the_member, 0,
                        (int)ARRAY_LEN(rows));
    tcase_add_test(ini, ini_text_may_end_anywhere);
    tcase_add_checked_fixture(providers, setup, teardown);
    tcase_add_test(providers, the_environment_wins_and_old_names_work);
    tcase_add_test(providers, the_environment_names_the_file_and_its_profile);
    tcase_add_test(providers, every_source_that_failed_is_named);
    tcase_add_test(providers, a_changed_file_is_noticed_at_the_next_use);
    tcase_add_test(providers,
                   refused_credentials_are_worth_another_try_only_when_the_source_has_others);
    tcase_add_test(providers, odd_files_are_refused_with_their_reason);
    tcase_add_test(providers, those_who_wait_are_woken_through_the_chain_unless_they_left);
    suite_add_tcase(suite, ini);
    suite_add_tcase(suite, providers);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
