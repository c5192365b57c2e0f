// SPDX-License-Identifier: GPL-2.0
/*
 * Work in softirq context, by NAPI: the run of net_rx_action() that receives a
 * packet also answers it. MPTCP sends on its subflows in the same way
 * (mptcp_napi_poll()).
 */

#include <linux/export.h>
#include <linux/netdevice.h>
#include <linux/slab.h>

#include "shim.h"

struct ktcp_poller {
	struct napi_struct napi;
	struct ktcp_pollers *all;
	unsigned int index;
};

struct ktcp_pollers {
	/* Never registered: NAPI requires a device. */
	struct net_device *dev;
	unsigned int (*poll)(const void *data, unsigned int index,
			     unsigned int budget);
	const void *data;
	unsigned int count;
	struct ktcp_poller each[] __counted_by(count);
};

static int ktcp_napi_poll(struct napi_struct *napi, int budget)
{
	struct ktcp_poller *poller = container_of(napi, struct ktcp_poller, napi);
	unsigned int done = poller->all->poll(poller->all->data, poller->index,
					      budget);

	/*
	 * 0, because nothing was received for GRO: done counts against the budget
	 * only.
	 */
	if (done < budget)
		napi_complete_done(napi, 0);
	return done;
}

/*
 * Creates count pollers, ready to be scheduled; NULL if memory is short. poll()
 * gets data and the index of the poller, and returns the part of the budget that it
 * has used: all of it to be called again. May sleep.
 */
struct ktcp_pollers *
ktcp_pollers_new(unsigned int count,
		 unsigned int (*poll)(const void *, unsigned int, unsigned int),
		 const void *data)
{
	struct ktcp_pollers *pollers;
	unsigned int i;

	pollers = kvzalloc(struct_size(pollers, each, count), GFP_KERNEL);
	if (!pollers)
		return NULL;
	pollers->dev = alloc_netdev_dummy(0);
	if (!pollers->dev) {
		kvfree(pollers);
		return NULL;
	}
	pollers->poll = poll;
	pollers->data = data;
	pollers->count = count;
	for (i = 0; i < count; i++) {
		struct ktcp_poller *poller = &pollers->each[i];

		poller->all = pollers;
		poller->index = i;
		netif_napi_add_tx(pollers->dev, &poller->napi, ktcp_napi_poll);
		napi_enable(&poller->napi);
	}
	return pollers;
}
EXPORT_SYMBOL_GPL(ktcp_pollers_new);

/* Schedules a call of the poller on this CPU. With softirqs disabled. */
void ktcp_poller_schedule(struct ktcp_pollers *pollers, unsigned int index)
{
	napi_schedule(&pollers->each[index].napi);
}
EXPORT_SYMBOL_GPL(ktcp_poller_schedule);

/* Stops all pollers: none runs after this returns. Called once. Sleeps. */
void ktcp_pollers_stop(struct ktcp_pollers *pollers)
{
	unsigned int i;

	for (i = 0; i < pollers->count; i++)
		napi_disable(&pollers->each[i].napi);
}
EXPORT_SYMBOL_GPL(ktcp_pollers_stop);

/* Called after ktcp_pollers_stop(). Sleeps. */
void ktcp_pollers_free(struct ktcp_pollers *pollers)
{
	free_netdev(pollers->dev);
	kvfree(pollers);
}
EXPORT_SYMBOL_GPL(ktcp_pollers_free);
