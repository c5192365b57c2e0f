// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU that counts how often each block of the guest's code runs.
 *
 *	qemu-system-x86_64 -plugin libcount.so,orders=FIFO ...
 *
 * Each line that is written to the FIFO is the name of a file, to which the
 * counts of that moment are written: a line for each block with its address,
 * its number of instructions, and how often it has run. The file is there once
 * it is complete.
 *
 * Debian ships no header for plugins; the used part of the interface is declared
 * here as docs/devel/tcg-plugins.rst of QEMU describes it.
 */

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_scoreboard;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
uint64_t qemu_plugin_u64_sum(qemu_plugin_u64 entry);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(
	qemu_plugin_id_t id,
	void (*translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
	struct qemu_plugin_tb *tb, enum qemu_plugin_op op, qemu_plugin_u64 entry,
	uint64_t operand);

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 4;

/* A power of two: room for far more code than a kernel and two programs run. */
#define BLOCKS (1u << 20)

static struct block {
	uint64_t address;
	/* 0 where there is none. */
	uint64_t instructions;
} blocks[BLOCKS];
static unsigned int known;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct qemu_plugin_scoreboard *runs;

static qemu_plugin_u64 runs_of(unsigned int place)
{
	return (qemu_plugin_u64){ runs, place * sizeof(uint64_t) };
}

/* Code is translated again and again: always to the same place. */
static unsigned int place_of(uint64_t address, uint64_t instructions)
{
	unsigned int place = (address * 0x9e3779b97f4a7c15 + instructions) >> 40;

	for (;; place++) {
		struct block *block = &blocks[place %= BLOCKS];

		if (block->address == address && block->instructions == instructions)
			return place;
		if (block->instructions)
			continue;
		if (++known == BLOCKS) {
			fputs("count.c: too much code to count\n", stderr);
			abort();
		}
		*block = (struct block){ address, instructions };
		return place;
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	unsigned int place;

	(void)id;
	pthread_mutex_lock(&lock);
	place = place_of(qemu_plugin_tb_vaddr(tb), qemu_plugin_tb_n_insns(tb));
	pthread_mutex_unlock(&lock);
	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
		tb, QEMU_PLUGIN_INLINE_ADD_U64, runs_of(place), 1);
}

static bool write_counts(const char *name)
{
	char fresh[4096];
	FILE *file;

	if (snprintf(fresh, sizeof(fresh), "%s.new", name) >= (int)sizeof(fresh))
		return false;
	file = fopen(fresh, "w");
	if (!file)
		return false;
	pthread_mutex_lock(&lock);
	for (unsigned int place = 0; place < BLOCKS; place++) {
		uint64_t count = 0;

		if (blocks[place].instructions)
			count = qemu_plugin_u64_sum(runs_of(place));
		if (count)
			fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n",
				blocks[place].address,
				blocks[place].instructions, count);
	}
	pthread_mutex_unlock(&lock);
	return !fclose(file) && !rename(fresh, name);
}

static void *take_orders(void *path)
{
	char name[4000];

	for (;;) {
		FILE *orders = fopen(path, "r");

		if (!orders)
			break;
		while (fgets(name, sizeof(name), orders)) {
			name[strcspn(name, "\n")] = '\0';
			if (!write_counts(name))
				perror(name);
		}
		fclose(orders);
	}
	perror(path);
	return NULL;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
			       char **argv)
{
	static const char option[] = "orders=";
	pthread_t thread;

	(void)info;
	if (argc != 1 || strncmp(argv[0], option, strlen(option))) {
		fputs("count.c: one argument is needed: orders=FIFO\n", stderr);
		return -1;
	}
	runs = qemu_plugin_scoreboard_new(BLOCKS * sizeof(uint64_t));
	if (pthread_create(&thread, NULL, take_orders,
			   strdup(argv[0] + strlen(option))))
		return -1;
	pthread_detach(thread);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
