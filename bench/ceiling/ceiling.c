/*
 * The limit of this machine with this generator: a server that answers every frame with one fixed frame and does
 * nothing else. One epoll loop; one read and one write for all frames that have arrived on a connection. Only the
 * ten digits of the opaque are copied from request to answer, at offsets given on the command line.
 *
 *   ceiling PORT ANSWER-FILE REQUEST-OPAQUE-OFFSET ANSWER-OPAQUE-OFFSET
 *
 * Listens on 127.0.0.1 and prints "ready" when it does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DIGITS = 10, EVENTS = 256, IN_SIZE = 64 << 10, MAX_FDS = 65536 };

struct conn {
	int fd;
	int waiting;          /* for room to write */
	uint32_t have;        /* bytes in rest */
	size_t from, to, cap; /* out[from..to) waits to be written */
	char *out, *rest;     /* rest: the beginning of a frame */
};

static char in[IN_SIZE]; /* of all connections: thousands of silent ones cost no memory for it */

static char *answer;
static size_t answer_size, request_at, answer_at;
static struct conn *conns[MAX_FDS];
static int ep;

static void die(const char *what) {
	perror(what);
	exit(1);
}

static void load_answer(const char *path) {
	FILE *f = fopen(path, "rb");
	if (!f) die(path);
	answer = malloc(16 << 20);
	if (!answer) die("malloc");
	answer_size = fread(answer, 1, 16 << 20, f);
	fclose(f);
	if (answer_size < answer_at + DIGITS) {
		fprintf(stderr, "%s is shorter than its opaque offset\n", path);
		exit(1);
	}
}

static void drop(struct conn *c) {
	conns[c->fd] = NULL;
	close(c->fd);
	free(c->out);
	free(c->rest);
	free(c);
}

/* Writes what waits; -1 when the connection is gone. Listens for room only while something waits. */
static int flush(struct conn *c) {
	while (c->from < c->to) {
		ssize_t n = write(c->fd, c->out + c->from, c->to - c->from);
		if (n < 0) {
			if (errno != EAGAIN) return -1;
			break;
		}
		c->from += n;
	}
	int waits = c->from < c->to;
	if (!waits) c->from = c->to = 0;
	if (waits != c->waiting) {
		c->waiting = waits;
		struct epoll_event ev = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.fd = c->fd};
		epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
	}
	return 0;
}

static void append_answer(struct conn *c, const char *request) {
	if (c->to + answer_size > c->cap) {
		c->cap = 2 * (c->to + answer_size);
		c->out = realloc(c->out, c->cap);
		if (!c->out) die("realloc");
	}
	char *at = c->out + c->to;
	memcpy(at, answer, answer_size);
	memcpy(at + answer_at, request + request_at, DIGITS);
	c->to += answer_size;
}

/* Reads once and answers every complete frame; -1 when the connection is gone or sends what does not fit. */
static int serve(struct conn *c) {
	if (c->have) memcpy(in, c->rest, c->have);
	ssize_t n = read(c->fd, in + c->have, IN_SIZE - c->have);
	if (n < 0 && errno == EAGAIN) return 0;
	if (n <= 0) return -1;
	uint32_t have = c->have + n, at = 0;
	while (have - at >= 4) {
		uint32_t length;
		memcpy(&length, in + at, 4);
		length = ntohl(length) + 4;
		if (length > IN_SIZE || length < request_at + DIGITS) return -1;
		if (have - at < length) break;
		append_answer(c, in + at);
		at += length;
	}
	if ((c->have = have - at)) {
		if (!(c->rest = realloc(c->rest, c->have))) die("realloc");
		memcpy(c->rest, in + at, c->have);
	}
	return flush(c);
}

static void accept_all(int listener) {
	for (;;) {
		int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		if (fd < 0) return;
		struct conn *c = fd < MAX_FDS ? calloc(1, sizeof *c) : NULL;
		if (!c) {
			close(fd);
			continue;
		}
		c->fd = fd;
		conns[fd] = c;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
		epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	}
}

static int start(int port) {
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (fd < 0) die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
	if (listen(fd, 4096) < 0) die("listen");
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
	return fd;
}

int main(int argc, char **argv) {
	if (argc != 5) {
		fprintf(stderr, "usage: ceiling PORT ANSWER-FILE REQUEST-OPAQUE-OFFSET ANSWER-OPAQUE-OFFSET\n");
		return 2;
	}
	request_at = strtoul(argv[3], NULL, 10);
	answer_at = strtoul(argv[4], NULL, 10);
	load_answer(argv[2]);
	if ((ep = epoll_create1(0)) < 0) die("epoll_create1");
	int listener = start(atoi(argv[1]));
	puts("ready");
	fflush(stdout);
	for (struct epoll_event events[EVENTS];;) {
		int n = epoll_wait(ep, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = conns[events[i].data.fd];
			if (events[i].data.fd == listener) accept_all(listener);
			else if (c && ((events[i].events & EPOLLOUT && flush(c) < 0) || (events[i].events & ~EPOLLOUT && serve(c) < 0))) drop(c);
		}
	}
}
