/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Symbols for what C offers inline or as a macro only. Declared once more, for
 * Rust, in ../shim.rs: keep the two in step.
 */
#ifndef KTCP_SHIM_H
#define KTCP_SHIM_H

#include <linux/types.h>

struct net;
struct socket;

struct net *ktcp_get_net(struct net *net);
struct net *ktcp_get_current_net(void);
void ktcp_put_net(struct net *net);
int ktcp_setsockopt(struct socket *sock, int level, int name, void *value,
		    unsigned int len);
void ktcp_wipe(void *memory, size_t len);

#endif /* KTCP_SHIM_H */
