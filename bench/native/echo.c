/* The yardstick: an epoll echo server and an epoll closed-loop client with nothing
 * in them but the system calls that the job needs.
 *
 *   echo server BACKLOG [COUNTS]              prints "port N", then serves until it is ended
 *   echo client PORT CONNECTIONS SIZE PIPELINE SECONDS
 *                                             prints "messages N seconds S"
 *
 * The client keeps PIPELINE messages of SIZE bytes in flight on every connection:
 * one recv and one send for each batch of replies, one clock read between them.
 * COUNTS is a file for others to look into at any time: the bytes received so far and
 * the connections open now, as two native 64-bit integers.
 * No histogram, no record: it is the limit, not a load tool. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 128, BUFFER_BYTES = 256 * 1024 };

static char buffer[BUFFER_BYTES];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* ---- server ------------------------------------------------------------------- */

/* What the kernel would not take yet; while there is any, nothing more is read. */
struct leftover {
    char *bytes;
    size_t length, done;
};
static struct leftover *leftovers;

struct counts {
    uint64_t bytes_received, open;
};
static struct counts unshared, *counts = &unshared;

static void share_counts(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counts) < 0) die(path);
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counts == MAP_FAILED) die("mmap");
    close(fd);
}

static void watch(int epoll, int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) die("epoll_ctl");
}

static void drop(int fd) {
    free(leftovers[fd].bytes);
    memset(&leftovers[fd], 0, sizeof leftovers[fd]);
    counts->open--;
    close(fd);
}

static void keep_leftover(int epoll, int fd, const char *bytes, size_t length) {
    struct leftover *rest = &leftovers[fd];
    rest->bytes = malloc(length);
    memcpy(rest->bytes, bytes, length);
    rest->length = length;
    rest->done = 0;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void echo_once(int epoll, int fd) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return drop(fd);
    counts->bytes_received += got;
    ssize_t sent = send(fd, buffer, got, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(fd);
    if (sent < 0) sent = 0;
    if (sent < got) keep_leftover(epoll, fd, buffer + sent, got - sent);
}

static void flush_leftover(int epoll, int fd) {
    struct leftover *rest = &leftovers[fd];
    ssize_t sent = send(fd, rest->bytes + rest->done, rest->length - rest->done, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(fd);
    if (sent > 0) rest->done += sent;
    if (rest->done < rest->length) return;
    free(rest->bytes);
    memset(rest, 0, sizeof *rest);
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void accept_all(int epoll, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) return;
        no_delay(fd);
        counts->open++;
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void serve(int backlog) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    leftovers = calloc(limit.rlim_cur, sizeof *leftovers);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, length) < 0) die("bind");
    if (listen(listener, backlog) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    int epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    struct epoll_event events[MAX_EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all(epoll, listener);
            else if (leftovers[fd].bytes) flush_leftover(epoll, fd);
            else echo_once(epoll, fd);
        }
    }
}

/* ---- client ------------------------------------------------------------------- */

static size_t *have; /* bytes of a reply that is not whole yet, by descriptor */

static int connect_one(int port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    no_delay(fd);
    return fd;
}

/* A send that is cut short would end the measurement: the sizes used here always fit. */
static void send_batch(int fd, const char *message, size_t bytes) {
    ssize_t sent = send(fd, message, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != (ssize_t)bytes) die("send");
}

static int load(int port, int connections, size_t size, int pipeline, double seconds) {
    size_t batch = size * pipeline;
    char *message = malloc(batch);
    memset(message, 'x', batch);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    have = calloc(limit.rlim_cur, sizeof *have);
    int epoll = epoll_create1(0);
    int *fds = malloc(connections * sizeof *fds);
    for (int i = 0; i < connections; i++) {
        fds[i] = connect_one(port);
        watch(epoll, EPOLL_CTL_ADD, fds[i], EPOLLIN);
    }
    double start = now_s(), end = start + seconds, now = start;
    for (int i = 0; i < connections; i++) send_batch(fds[i], message, batch);
    uint64_t messages = 0;
    struct epoll_event events[MAX_EVENTS];
    while (now < end) {
        int ready = epoll_wait(epoll, events, MAX_EVENTS, 100);
        now = now_s();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got <= 0) die("recv");
            now = now_s();
            have[fd] += got;
            size_t replies = have[fd] / size;
            have[fd] -= replies * size;
            messages += replies;
            if (replies) send_batch(fd, message, replies * size);
        }
    }
    printf("messages %llu seconds %.6f\n", (unsigned long long)messages, now - start);
    return 0;
}

int main(int argc, char **argv) {
    /* Whoever is interrupted while it starts us may never know that it has. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    raise_descriptor_limit();
    if (argc == 4 && !strcmp(argv[1], "server")) share_counts(argv[3]);
    if ((argc == 3 || argc == 4) && !strcmp(argv[1], "server")) serve(atoi(argv[2]));
    if (argc == 7 && !strcmp(argv[1], "client"))
        return load(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atof(argv[6]));
    fprintf(stderr, "usage: echo server BACKLOG [COUNTS] | echo client PORT CONNECTIONS SIZE PIPELINE SECONDS\n");
    return 2;
}
