/* What every program that acts for a node does first: find the configuration, be the only one, open
 * the journal. Main thread. */
#ifndef SSMD_AGENT_SETUP_H
#define SSMD_AGENT_SETUP_H

#include "agent/config.h"
#include "journal/journal.h"
#include "transport/aws.h"

#define EXIT_OK 0
#define EXIT_NO 1 /* the configuration, the state or the service does not allow it */
#define EXIT_USAGE 100
#define EXIT_SYSTEM 111 /* a system failure: try again */

int setup_exit_status(const struct err *err);

/* Where the running program lies. */
void setup_program_dir(char *ret_dir, size_t size);
/* The first configuration there is: `path` if it is not NULL, ours, the reference agent's. */
int setup_read_config(struct config *c, const struct paths *paths, const char *path,
                      config_warn_fn warn, void *ctx, struct err *err) MUST_CHECK;

/* Where the configuration says the services are; its texts are borrowed. */
void setup_endpoints(const struct config *c, struct aws_options *ret_options);

/* One writer for one root: the lock lives as long as *ret_fd is open. ERR_BUSY. */
int setup_take_lock(const struct paths *paths, int *ret_fd, struct err *err) MUST_CHECK;
/* The same for a start, which may come while the ssmd before it is still dying: a process that was
 * killed holds its locks until the kernel has taken it apart. Blocks for a few seconds at most, and
 * says so in the log. ERR_BUSY. */
int setup_wait_for_lock(const struct paths *paths, int *ret_fd, struct err *err) MUST_CHECK;

/* Makes the state directory if it is missing. Only who holds the lock may. */
int setup_open_journal(const struct paths *paths, const char *boot_id, struct journal **ret_journal,
                       struct err *err) MUST_CHECK;

#endif
