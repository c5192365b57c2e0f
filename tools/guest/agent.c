// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the commands that come over a virtio-serial port, as the first process of the guest.
 * tools/ktcp/control.py, the other end, describes the protocol.
 *
 * Starting a program takes 10 ms and more on an emulated processor, and tests run thousands of
 * commands: each costs no program but the shell.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The status of a command that could not be started, as a shell has it */
#define NOT_STARTED 126

struct job {
	struct job *next;
	unsigned long id;
	pid_t pid;
	/* In milliseconds of now(); 0 once it was killed */
	long long deadline;
	/* A file and not a pipe: a command that leaves a process in the background must not be waited
	 * for until that one closes its output.
	 */
	int output;
};

static struct job *jobs;
static int port;

/* Bytes that were received and not consumed yet */
static struct {
	char *bytes;
	size_t length, room;
} request;

static void die(const char *what)
{
	/* To the console, where the host looks when init ends and the kernel panics. */
	perror(what);
	exit(1);
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static void send_bytes(const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = write(port, bytes, length);

		if (sent < 0)
			die("agent: write");
		bytes += sent;
		length -= sent;
	}
}

static void answer(unsigned long id, int status, int output)
{
	char chunk[32768];
	off_t length = lseek(output, 0, SEEK_END);
	off_t offset = 0;

	send_bytes(chunk, snprintf(chunk, sizeof(chunk), "%lu %d %lld\n", id, status,
				   (long long)length));
	/* A background process may still write: exactly the length that the line says is sent. */
	while (offset < length) {
		size_t left = length - offset;
		ssize_t got = pread(output, chunk, left < sizeof(chunk) ? left : sizeof(chunk),
				    offset);

		if (got <= 0)
			die("agent: read of an output");
		send_bytes(chunk, got);
		offset += got;
	}
	close(output);
}

static int start(const char *command, int output, pid_t *pid)
{
	const char *const words[] = { "sh", "-c", command, NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	int error;

	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	/* A session of its own: `kill 0` must not reach us. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
	error = posix_spawn(pid, "/bin/sh", &files, &attributes, (char *const *)words, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return error;
}

static void execute(unsigned long id, unsigned int seconds, const char *command)
{
	struct job *job = malloc(sizeof(*job));
	int error;

	if (!job)
		die("agent: malloc");
	job->id = id;
	job->deadline = now() + seconds * 1000LL;
	job->output = memfd_create("output", MFD_CLOEXEC);
	if (job->output < 0)
		die("agent: memfd_create");
	error = start(command, job->output, &job->pid);
	if (error) {
		dprintf(job->output, "/bin/sh: %s\n", strerror(error));
		answer(id, NOT_STARTED, job->output);
		free(job);
		return;
	}
	job->next = jobs;
	jobs = job;
}

/* Executes the request at the beginning of what was received, if it is there as a whole. */
static bool take_request(void)
{
	char *end = memchr(request.bytes, '\n', request.length);
	unsigned long id;
	unsigned int seconds;
	size_t length, used;
	char *command;

	if (!end)
		return false;
	*end = '\0';
	if (sscanf(request.bytes, "%lu %u %zu", &id, &seconds, &length) != 3) {
		fprintf(stderr, "agent: no request: %s\n", request.bytes);
		exit(1);
	}
	*end = '\n';
	used = end + 1 - request.bytes;
	if (request.length - used < length)
		return false;
	command = strndup(end + 1, length);
	if (!command)
		die("agent: strndup");
	used += length;
	request.length -= used;
	memmove(request.bytes, request.bytes + used, request.length);
	execute(id, seconds, command);
	free(command);
	return true;
}

static void receive(void)
{
	ssize_t got;

	if (request.room - request.length < 4096) {
		request.room += 65536;
		request.bytes = realloc(request.bytes, request.room);
		if (!request.bytes)
			die("agent: realloc");
	}
	got = read(port, request.bytes + request.length, request.room - request.length);
	if (got < 0)
		die("agent: read");
	if (!got)
		/* The other end is not there, or not there yet. */
		poll(NULL, 0, 50);
	request.length += got;
	while (take_request())
		;
}

/* All processes that end come here: those of commands, and those whose parents ended before them. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (struct job **link = &jobs; *link; link = &(*link)->next) {
			struct job *job = *link;

			if (job->pid != pid)
				continue;
			*link = job->next;
			answer(job->id,
			       WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
			       job->output);
			free(job);
			break;
		}
	}
}

/* Kills commands past their limits. Returns whether any is left, and the time until the next limit. */
static bool enforce_limits(struct timespec *left)
{
	long long time = now();
	long long soonest = 0;

	for (struct job *job = jobs; job; job = job->next) {
		if (job->deadline && job->deadline <= time) {
			/* With all that it has started */
			kill(-job->pid, SIGKILL);
			job->deadline = 0;
		}
		if (job->deadline && (!soonest || job->deadline < soonest))
			soonest = job->deadline;
	}
	left->tv_sec = (soonest - time) / 1000;
	left->tv_nsec = (soonest - time) % 1000 * 1000000;
	return soonest;
}

static void wake(int signal)
{
	(void)signal;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = wake };
	sigset_t child, none;

	if (argc != 2) {
		fprintf(stderr, "usage: agent PORT\n");
		return 2;
	}
	port = open(argv[1], O_RDWR | O_CLOEXEC);
	if (port < 0)
		die(argv[1]);
	/* Processes end while we wait, and at no other time. */
	sigemptyset(&none);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigaction(SIGCHLD, &action, NULL);
	for (;;) {
		struct pollfd file = { .fd = port, .events = POLLIN };
		struct timespec left;

		if (ppoll(&file, 1, enforce_limits(&left) ? &left : NULL, &none) < 0 &&
		    errno != EINTR)
			die("agent: ppoll");
		reap();
		if (file.revents & POLLIN)
			receive();
	}
}
