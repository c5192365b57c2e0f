// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a command without a capability, as a unit with CapabilityBoundingSet= does: `without NUMBER
 * COMMAND...`.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	/* A program that root runs gets what is left in this set. */
	if (!prctl(PR_CAPBSET_DROP, atoi(argv[1]), 0, 0, 0))
		execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 1;
}
