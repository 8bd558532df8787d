/* One GET with the options of the agent's HTTPS calls, for tls.sh: "200" or what went wrong.
 * https_probe URL [CA file]; the environment chooses proxies and authorities as usual. */
#include <stdio.h>
#include <stdlib.h>

#include "transport/http.h"

static int status = EXIT_FAILURE;

static void on_done(void *ctx, const struct http_response *response)
{
    (void)ctx;
    if (response->err != NULL)
        (void)printf("%s: %s\n", err_name(response->err->code), response->err->text);
    else
        (void)printf("%ld %s\n", response->status, response->body);
    status = response->err == NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    const struct http_options options = {.ca_file = argc > 2 ? argv[2] : NULL,
                                         .connect_timeout_ms = 5000};
    const struct http_request request = {
        .method = "GET", .url = argc > 1 ? argv[1] : "", .timeout_ms = 10000};
    uv_loop_t loop;
    struct http *http = NULL;
    struct err err = {0};

    if (uv_loop_init(&loop) < 0)
        return EXIT_FAILURE;
    if (http_new(&loop, &options, &http, &err) < 0 ||
        http_start(http, &request, on_done, NULL, NULL, &err) < 0)
        (void)printf("%s: %s\n", err_name(err.code), err.text);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    http_close(http);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? status : EXIT_FAILURE;
}
