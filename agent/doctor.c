/* The doctor's command line and its report. */
#include "agent/doctor_internal.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "agent/doctor.h"
#include "agent/setup.h"
#include "base/log.h"
#include "base/str.h"

#define MAX_REPORT_BYTES (1u << 20)

static const char usage[] =
    "usage: ssmd doctor [--root DIR] [--config FILE] [--json]\n"
    "\n"
    "Looks at the configuration, the state directory, the journal, who this node is, its\n"
    "credentials, its clock, and whether the service can be reached, and says what to try. "
    "Changes\n"
    "nothing. Exit status: 0 nothing is wrong, 1 something is, 100 usage, 111 could not look.\n";

static const char *const names[] = {"ok", "warning", "failed", "skipped"};

bool doctor_is_meant(int argc, char **argv)
{
    return argc > 1 && str_eq(argv[1], "doctor");
}

static void say_json(struct doctor *d, const char *check, enum finding finding, const char *text,
                     const char *advice)
{
    struct buf *b = &d->json; /* buf_error() is asked at the end */

    (void)buf_printf(b,
                     "%s{\"check\":\"%s\",\"state\":\"%s\",\"text\":", d->n_checks > 0 ? "," : "",
                     check, names[finding]);
    (void)buf_add_json_str(b, text, strlen(text));
    (void)buf_add_str(b, ",\"try\":");
    (void)buf_add_json_str(b, advice != NULL ? advice : "", advice != NULL ? strlen(advice) : 0);
    (void)buf_add_char(b, '}');
}

/* What others wrote may hold control characters, which a terminal would obey. */
static void print_clean(const char *text)
{
    for (; *text != '\0'; text++)
        (void)putchar((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
}

void doctor_say(struct doctor *d, const char *check, enum finding finding, const char *advice,
                const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap); /* cut is fine: it is for people */
    va_end(ap);
    if (d->is_json) {
        say_json(d, check, finding, text, advice);
    } else {
        (void)printf("%-8s %-14s ", names[finding], check);
        print_clean(text);
        (void)putchar('\n');
        if (advice != NULL && finding != FINDING_OK)
            (void)printf("%23s try: %s\n", "", advice);
    }
    d->n_checks++;
    d->n_failed += finding == FINDING_FAILED;
}

static int look(struct doctor *d)
{
    struct err err;

    buf_init(&d->json, MAX_REPORT_BYTES);
    doctor_check_configuration(d);
    doctor_check_state(d);
    doctor_check_journal(d);
    doctor_check_process(d);
    doctor_check_network(d);
    if (d->is_json) {
        if (buf_error(&d->json, "report", &err) < 0) {
            (void)fprintf(stderr, "ssmd doctor: %s\n", err.text);
            return EXIT_SYSTEM;
        }
        (void)printf("{\"is_healthy\":%s,\"checks\":[%s]}\n", d->n_failed == 0 ? "true" : "false",
                     buf_str(&d->json));
    } else if (d->n_failed == 0) {
        (void)printf("\nnothing is wrong\n");
    } else {
        (void)printf("\n%d of %d checks failed\n", d->n_failed, d->n_checks);
    }
    buf_done(&d->json);
    cJSON_Delete(d->live);
    return d->n_failed == 0 ? EXIT_OK : EXIT_NO;
}

int doctor_main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"root", required_argument, NULL, 'r'}, {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},       {"help", no_argument, NULL, 'h'},
        {"log", required_argument, NULL, 'l'},  {NULL, 0, NULL, 0},
    };
    static struct doctor d;
    const char *root = NULL, *levels = "error";
    struct err err;
    int c;

    optind = 2;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'r':
            root = optarg;
            break;
        case 'c':
            d.config_path = optarg;
            break;
        case 'j':
            d.is_json = true;
            break;
        case 'l':
            levels = optarg;
            break;
        case 'h':
            (void)fputs(usage, stdout);
            return EXIT_OK;
        default:
            (void)fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc || log_set_levels(levels, &err) < 0 || paths_init(&d.paths, root, &err) < 0) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (uv_loop_init(&d.loop) < 0) {
        (void)fprintf(stderr, "ssmd doctor: no event loop\n");
        return EXIT_SYSTEM;
    }
    c = look(&d);
    (void)uv_loop_close(&d.loop); /* nothing is left in it but what libraries keep */
    return c;
}
