/* SPDX-License-Identifier: GPL-2.0 */
/* Files, and the freezer: for the C files beside this one. */
#ifndef KTCP_FREEZER_H
#define KTCP_FREEZER_H

#include <linux/cleanup.h>
#include <linux/types.h>

bool ktcp_is_freezing(void);
bool ktcp_enter_files(void);
void ktcp_leave_files(bool entered);

/* For the rest of the block. */
DEFINE_CLASS(ktcp_files, bool, ktcp_leave_files(_T), ktcp_enter_files(), void)

/* The same, but what is @cached is looked at where one must not sleep, too. */
DEFINE_CLASS(ktcp_files_unless, bool, ktcp_leave_files(_T),
	     !cached && ktcp_enter_files(), bool cached)

#endif /* KTCP_FREEZER_H */
