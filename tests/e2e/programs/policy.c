// SPDX-License-Identifier: GPL-2.0
/*
 * Forbids something to a control group, as a service manager does for its units: `policy GROUP WHAT`
 * attaches BPF programs that say no, which stay as long as the group or until `policy GROUP WHAT off`.
 */

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static const struct policy {
	const char *what;
	enum bpf_prog_type type;
	enum bpf_attach_type place;
} policies[] = {
	{ "ingress", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS },
	{ "egress", BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS },
	{ "create", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE },
	{ "bind", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND },
	{ "bind", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_BIND },
	{ "post-bind", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET4_POST_BIND },
	{ "post-bind", BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET6_POST_BIND },
};

static int call_bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* A program of two instructions: r0 = 0, exit. */
static int load(const struct policy *policy)
{
	static const struct bpf_insn no[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = policy->type;
	attr.expected_attach_type = policy->place;
	attr.insns = (uintptr_t)no;
	attr.insn_cnt = ARRAY_SIZE(no);
	attr.license = (uintptr_t)"GPL";
	return call_bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int group, int program, const struct policy *policy)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = group;
	attr.attach_bpf_fd = program;
	attr.attach_type = policy->place;
	return call_bpf(BPF_PROG_ATTACH, &attr);
}

static int detach(int group, const struct policy *policy)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = group;
	attr.attach_type = policy->place;
	return call_bpf(BPF_PROG_DETACH, &attr);
}

int main(int argc, char **argv)
{
	int off = argc == 4 && !strcmp(argv[3], "off");
	int status = 2;
	int group;
	size_t i;

	if (argc != 3 && !off)
		return status;
	group = open(argv[1], O_RDONLY | O_DIRECTORY);
	for (i = 0; i < ARRAY_SIZE(policies); i++) {
		const struct policy *policy = &policies[i];

		if (strcmp(policy->what, argv[2]))
			continue;
		status = 0;
		if (off ? detach(group, policy) : attach(group, load(policy), policy)) {
			perror(argv[2]);
			return 1;
		}
	}
	return status;
}
