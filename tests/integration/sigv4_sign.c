/* Signs requests read from standard input, for sigv4_oracle.py. A request is lines of hexadecimal
 * text, ended by "sign": date region service key secret method path query header value ... body.
 * Answers one Authorization value per request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "transport/sigv4.h"

#define MAX_LINES 128
#define MAX_BYTES (1u << 20)

enum { DATE, REGION, SERVICE, KEY, SECRET, METHOD, PATH, QUERY, FIRST_HEADER };

static int sign(char **lines, size_t n)
{
    struct header headers[MAX_LINES / 2];
    size_t i, n_headers = 0;
    AUTO(buf_done) struct buf authorization;
    struct err err = {0};

    if (n < FIRST_HEADER + 1 || (n - FIRST_HEADER - 1) % 2 != 0)
        return err_set(&err, ERR_USAGE, "a request needs its nine lines and pairs of headers");
    for (i = FIRST_HEADER; i + 1 < n; i += 2)
        headers[n_headers++] = (struct header){lines[i], lines[i + 1]};
    const struct sigv4_scope scope = {lines[DATE], lines[REGION], lines[SERVICE]};
    const struct sigv4_request request = {.method = lines[METHOD],
                                          .path = lines[PATH],
                                          .query = lines[QUERY],
                                          .headers = headers,
                                          .n_headers = n_headers,
                                          .body = lines[n - 1],
                                          .body_len = strlen(lines[n - 1])};
    buf_init(&authorization, 65536);
    if (sigv4_sign(&request, &scope, lines[KEY], lines[SECRET], &authorization, &err) < 0) {
        (void)fprintf(stderr, "sigv4_sign: %s\n", err.text);
        return err.code;
    }
    (void)printf("%s\n", authorization.data);
    return 0;
}

int main(void)
{
    char *lines[MAX_LINES] = {0}, *line = NULL;
    size_t n = 0, size = 0;
    ssize_t k;
    int status = EXIT_SUCCESS;

    while (status == EXIT_SUCCESS && (k = getline(&line, &size, stdin)) > 0) {
        line[k - 1] = '\0';
        if (strcmp(line, "sign") == 0) {
            if (sign(lines, n) < 0)
                status = EXIT_FAILURE;
            while (n > 0)
                free(lines[--n]);
            continue;
        }
        k = (k - 1) / 2;
        lines[n] = n < MAX_LINES - 1 && (size_t)k < MAX_BYTES ? calloc(1, (size_t)k + 1) : NULL;
        if (lines[n] == NULL || !str_unhex(line, lines[n], (size_t)k))
            status = EXIT_FAILURE;
        n++;
    }
    while (n > 0)
        free(lines[--n]);
    free(line);
    return status;
}
