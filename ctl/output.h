/* What a job's steps wrote: jobs/<job>/<step>.<attempt>/{stdout,stderr}. The names of the files are
 * those that runner and agent agreed on (architecture, section 9.2); ssmctl only reads them,
 * follows no link, and takes no file for granted: a step that has not begun has none, and retention
 * removes them. One thread. */
#ifndef SSMD_CTL_OUTPUT_H
#define SSMD_CTL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/paths.h"
#include "ctl/jsonw.h"

enum output_stream { OUTPUT_STDOUT, OUTPUT_STDERR, OUTPUT_N_STREAMS };

const char *output_stream_name(enum output_stream stream);

/* One attempt of one step, and how far it was read. */
struct output {
    int64_t step, attempt;
    int fds[OUTPUT_N_STREAMS];         /* -1: not opened (yet), or not wanted */
    bool is_wanted[OUTPUT_N_STREAMS];  /* set by the caller */
    int64_t n_bytes[OUTPUT_N_STREAMS]; /* read so far */
    char last[OUTPUT_N_STREAMS];       /* the last byte that was copied; '\n' before the first */
};

void output_init(struct output *o, int64_t step, int64_t attempt);
void output_done(struct output *o);

/* Open the wanted files that are there and not yet open. Returns 0 also when there are none
 * (*ret_is_there says so); ERR_AUTH when they may not be read. `job` is a full id. */
int output_open(struct output *o, const struct paths *paths, const char *job, bool *ret_is_there,
                struct err *err) MUST_CHECK;

/* Copy what was written since the last call: standard output to `out`, standard error to `err_out`.
 * Both streams are flushed. */
int output_copy(struct output *o, FILE *out, FILE *err_out, struct err *err) MUST_CHECK;

/* Write the wanted files from their beginning as objects of an open list. */
int output_write_json(struct output *o, struct jsonw *w, struct err *err) MUST_CHECK;

static inline void output_done_cleanup(struct output *o)
{
    output_done(o);
}

#endif
