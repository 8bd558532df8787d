/* `ssmd register`: make this machine a node of the service, and what belongs to it; also in the
 * words of the reference agent (spec 07, section 3). Main thread, before any loop runs. */
#ifndef SSMD_AGENT_REGISTER_CLI_H
#define SSMD_AGENT_REGISTER_CLI_H

#include <stdbool.h>

/* Is this command line one of ours? */
bool register_cli_is_meant(int argc, char **argv);
/* Returns the exit status of the process. */
int register_cli_main(int argc, char **argv);

#endif
