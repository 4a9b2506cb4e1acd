/*
 * The limit of this machine with this generator: a server that answers every frame with one fixed frame and does
 * nothing else. One epoll loop; one read and one write for all frames that have arrived on a connection. Only the
 * ten digits of the opaque are copied from request to answer, at offsets given on the command line.
 *
 *   ceiling PORT ANSWER-FILE REQUEST-OPAQUE-OFFSET ANSWER-OPAQUE-OFFSET [CERTIFICATE KEY]
 *
 * Listens on 127.0.0.1 and prints "ready" when it does. Built with -DTLS it speaks TLS 1.3 by OpenSSL and nothing else, with
 * the certificate and key of two files in PEM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif
#include <signal.h>
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
#ifdef TLS
	SSL *ssl;
#endif
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

#ifdef TLS
static SSL_CTX *tls;

static void start_tls(char **files) {
	if (!(tls = SSL_CTX_new(TLS_server_method())) || !SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) ||
	    !SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") || SSL_CTX_use_certificate_file(tls, files[0], SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(tls, files[1], SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		exit(1);
	}
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(tls, 1); /* a record by one call of read(2) instead of two */
}

static void greet(struct conn *c) {
	if (!(c->ssl = SSL_new(tls)) || !SSL_set_fd(c->ssl, c->fd)) die("SSL_new");
	SSL_set_accept_state(c->ssl);
}

/* The result of a call of OpenSSL as read(2) and write(2) give it. */
static ssize_t as_call(struct conn *c, int n) {
	if (n > 0) return n;
	int why = SSL_get_error(c->ssl, n);
	ERR_clear_error();
	if (why == SSL_ERROR_ZERO_RETURN) return 0;
	errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return -1;
}

static ssize_t take(struct conn *c, char *to, size_t n) { return as_call(c, SSL_read(c->ssl, to, n)); }
static ssize_t give(struct conn *c, const char *from, size_t n) { return as_call(c, SSL_write(c->ssl, from, n)); }
static int holds_more(struct conn *c) { return SSL_has_pending(c->ssl); } /* which the socket does not tell */
static void leave(struct conn *c) { SSL_free(c->ssl); }
#else
static void start_tls(char **files) { (void)files; }
static void greet(struct conn *c) { (void)c; }
static ssize_t take(struct conn *c, char *to, size_t n) { return read(c->fd, to, n); }
static ssize_t give(struct conn *c, const char *from, size_t n) { return write(c->fd, from, n); }
static int holds_more(struct conn *c) { (void)c; return 0; }
static void leave(struct conn *c) { (void)c; }
#endif

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
	leave(c);
	close(c->fd);
	free(c->out);
	free(c->rest);
	free(c);
}

/* Writes what waits; -1 when the connection is gone. Listens for room only while something waits. */
static int flush(struct conn *c) {
	while (c->from < c->to) {
		ssize_t n = give(c, c->out + c->from, c->to - c->from);
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

/* Reads once and answers every complete frame; 0 when there was nothing, -1 when the connection is gone or sends what does not fit. */
static int serve_once(struct conn *c) {
	if (c->have) memcpy(in, c->rest, c->have);
	ssize_t n = take(c, in + c->have, IN_SIZE - c->have);
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
	return flush(c) < 0 ? -1 : 1;
}

static int serve(struct conn *c) {
	int r = serve_once(c);
	while (r > 0 && holds_more(c)) r = serve_once(c);
	return r;
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
		greet(c);
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
#ifdef TLS
	const int files = 2;
#else
	const int files = 0;
#endif
	if (argc != 5 + files) {
		fprintf(stderr, "usage: ceiling PORT ANSWER-FILE REQUEST-OPAQUE-OFFSET ANSWER-OPAQUE-OFFSET%s\n", files ? " CERTIFICATE KEY" : "");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN); /* a peer that is gone ends its own connection */
	start_tls(argv + 5);
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
