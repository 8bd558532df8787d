/* The arithmetic of statuses stands twice: where the machine decides (fsm/command_status.c) and
 * where replies are read and written (schema/status.c), because neither may include the other. Here
 * they are compared over the whole domain: every status of up to four units, in every division into
 * plugins (spec 03, sections 7.3 and 7.4). */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "fsm/command.h"
#include "schema/reply.h"

/* What a unit may have; PassedAndReboot and NotStarted are never produced (section 7.1). */
static const char *const statuses[] = {"",           "Skipped", "Success",   "SuccessAndReboot",
                                       "InProgress", "Failed",  "Cancelled", "TimedOut"};

#define N_STATUSES ARRAY_LEN(statuses)
#define MAX_UNITS 4

static struct fsm_instance inst;
static const char *merged[MAX_UNITS]; /* of each plugin, by schema/ */
static size_t n_plugins;
static bool is_begun;  /* every unit has begun */
static bool is_reboot; /* one waits for a reboot, to run again */

/* `mix` holds the statuses, one digit for a unit; bit i of `cuts`: unit i + 1 begins a plugin. */
static void set_up(size_t n, size_t mix, unsigned cuts)
{
    size_t i;

    n_plugins = 0;
    is_begun = true;
    is_reboot = false;
    for (i = 0; i < n; i++, mix /= N_STATUSES) {
        struct command_unit *u = command_unit_at(&inst, i);

        (void)str_copy(u->status, sizeof(u->status), statuses[mix % N_STATUSES]);
        if (i == 0 || (cuts & (1u << (i - 1))) != 0)
            merged[n_plugins++] = "";
        u->plugin = (int64_t)n_plugins - 1;
        merged[n_plugins - 1] = reply_merge_status(merged[n_plugins - 1], u->status);
        is_begun = is_begun && u->status[0] != '\0';
        is_reboot = is_reboot || str_eq(u->status, "SuccessAndReboot");
    }
    command_of(&inst)->n_plugins = (int64_t)n_plugins;
}

static void compare(size_t n, size_t mix, unsigned cuts)
{
    const char *document;
    size_t p;

    set_up(n, mix, cuts);
    for (p = 0; p < n_plugins; p++)
        ck_assert_str_eq(command_plugin_status(&inst, (int64_t)p), merged[p]);
    document = reply_document_status(merged, n_plugins);
    if (str_eq(document, "Success") && !is_begun)
        document = "InProgress"; /* only the machine knows that a plugin has more units to run */
    if (is_reboot)
        document = "SuccessAndReboot"; /* nor is a terminal status told of what runs again */
    ck_assert_msg(str_eq(command_document_status(&inst), document),
                  "%zu units, mix %zu, cuts %u: %s, not %s", n, mix, cuts,
                  command_document_status(&inst), document);
}

START_TEST(machine_and_reply_agree_on_every_mix_of_statuses)
{
    size_t n = (size_t)_i, mix, n_mixes = 1, i;
    struct err err;
    unsigned cuts;

    for (i = 0; i < n; i++)
        n_mixes *= N_STATUSES;
    ck_assert_int_eq(fsm_instance_init(&inst, &command_machine, "job", n, 1, &err), 0);
    for (mix = 0; mix < n_mixes; mix++)
        for (cuts = 0; cuts < (1u << (n - 1)); cuts++)
            compare(n, mix, cuts);
    fsm_instance_done(&inst);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("status");
    TCase *t = tcase_create("arithmetic");
    SRunner *sr;
    int n_failed;

    tcase_add_loop_test(t, machine_and_reply_agree_on_every_mix_of_statuses, 1, MAX_UNITS + 1);
    suite_add_tcase(s, t);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
