/* The program ssmctl; everything is in ctl_main(), where tests can reach it. */
#include <stdio.h>

#include "ctl/ctl.h"

int main(int argc, char *argv[])
{
    return ctl_main(argc, argv, stdout, stderr);
}
