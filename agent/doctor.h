/* `ssmd doctor`, which `ssmctl doctor` runs: looks at everything that must be right for this node
 * to serve, and says what to try where it is not. Changes nothing; works while ssmd runs and while
 * it does not. Main thread, before any loop runs. */
#ifndef SSMD_AGENT_DOCTOR_H
#define SSMD_AGENT_DOCTOR_H

#include <stdbool.h>

bool doctor_is_meant(int argc, char **argv);
/* Exit status: 0 nothing is wrong, 1 something is, 100 usage, 111 it could not be found out. */
int doctor_main(int argc, char **argv);

#endif
