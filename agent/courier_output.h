/* The output of a step over all its attempts, as one run of bytes. */
#ifndef SSMD_AGENT_COURIER_OUTPUT_H
#define SSMD_AGENT_COURIER_OUTPUT_H

#include <sys/types.h>

#include "agent/courier.h"

struct courier_output {
    const struct courier_events *events; /* borrowed */
    const char *job;                     /* borrowed */
    int unit, stream;
    int64_t *sizes; /* owned: of the attempts' files */
    int64_t n, cap;
    int fd; /* of attempt `open`, or -1 */
    int64_t open;
    int64_t total; /* of all sizes */
};

void courier_output_init(struct courier_output *o, const struct courier_events *events,
                         const char *job, int unit, int stream);
void courier_output_done(struct courier_output *o);
/* Look how large it is now. `attempts` 0: as many as there are. Files that are not there are empty.
 * ERR_NOMEM; other errors of a file that cannot be opened now. */
int courier_output_look(struct courier_output *o, int64_t attempts, struct err *err) MUST_CHECK;
/* Let go of the descriptor; the next read opens it again. */
void courier_output_rest(struct courier_output *o);
/* As pread(2), of the whole; for struct http_source. */
ssize_t courier_output_read(void *output, void *bytes, size_t n, int64_t offset);

#endif
