/* A server that knows how long each request was with it.
 *
 *   truth FILE BACKLOG SIZE MODE US... [stall US US]
 *
 * prints "port N answer BYTES", serves until SIGTERM, writes the residence of every
 * message in nanoseconds to FILE (int64, in the order of answering) and prints
 * "residences N unstamped N unlogged N".
 *
 * SIZE        bytes of a request, which is echoed; or `http`: a request ends with an empty
 *             line and has a small fixed response.
 * MODE   delay D       each answer is due D µs after its request arrived, however many
 *                      there are at once.
 *        peaks D E     the same, but 1 % of the requests, at random, are due after E.
 *        fifo S        one worker: a request takes S µs from the moment that it arrived
 *                      or the one before it was done. The processor is kept busy
 *                      meanwhile, and what the system calls take is part of S. So the
 *                      capacity is 1/S, as long as S is more than they take (some 10 µs).
 * stall A B             every B µs, neither read nor send for A µs; the first time B/2
 *                      after the first connection.
 *
 * Residence: from the kernel's arrival stamp of the request (SO_TIMESTAMPNS) to the
 * CLOCK_REALTIME just before the send() of its answer. Delays are counted from that
 * stamp, so however late the server wakes up, the truth is D unless it is overloaded.
 *
 * A stamp is that of the newest segment that a recvmsg() touched. With one request
 * outstanding on a connection it is exact; with more, requests read together share the
 * last one's stamp, and answers leave in the order of the requests whichever was due:
 * no byte is lost, but the residences are not to be trusted. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 128, BUFFER_BYTES = 64 * 1024, MAX_DESCRIPTORS = 1 << 20 };

#define MAX_RESIDENCES 20000000
#define NS_PER_S 1000000000LL
/* What is due within this time is waited for awake: a sleep may last tens of µs too long. */
#define AWAKE_NS 100000
/* So that a signal just before a sleep is noticed. */
#define LONGEST_SLEEP_NS 100000000

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
static const char END_OF_REQUEST[] = "\r\n\r\n";

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- what the command line asked for ------------------------------------------- */

static struct {
    int64_t delay_ns, second_delay_ns, stall_ns, period_ns;
    size_t request_bytes, answer_bytes; /* request_bytes 0: HTTP */
    int is_fifo;
} plan;

/* ---- residences ---------------------------------------------------------------- */

static int64_t *residences; /* untouched pages take no memory */
static size_t answered, unstamped, unlogged;

static void note_residence(int64_t residence_ns) {
    if (answered < MAX_RESIDENCES) residences[answered++] = residence_ns;
    else unlogged++;
}

static int write_residences(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(residences, sizeof *residences, answered, file) != answered) die(path);
    if (fclose(file)) die(path);
    printf("residences %zu unstamped %zu unlogged %zu\n", answered, unstamped, unlogged);
    return 0;
}

/* ---- requests that wait for their time: a binary heap, the earliest first ------ */

struct request {
    int64_t due_ns, arrived_ns;
    uint64_t connection; /* its serial number: a descriptor may have a new owner by then */
    int fd;
};
static struct request *heap;
static size_t waiting, heap_room;

static void push(struct request request) {
    if (waiting == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 1024;
        heap = realloc(heap, heap_room * sizeof *heap);
        if (!heap) die("realloc");
    }
    size_t place = waiting++;
    for (size_t parent; place && heap[parent = (place - 1) / 2].due_ns > request.due_ns; place = parent)
        heap[place] = heap[parent];
    heap[place] = request;
}

static struct request pop(void) {
    struct request earliest = heap[0], last = heap[--waiting];
    size_t place = 0;
    for (size_t child; (child = 2 * place + 1) < waiting; place = child) {
        if (child + 1 < waiting && heap[child + 1].due_ns < heap[child].due_ns) child++;
        if (last.due_ns <= heap[child].due_ns) break;
        heap[place] = heap[child];
    }
    heap[place] = last;
    return earliest;
}

static int64_t due_ns(int64_t arrived_ns) {
    static int64_t worker_free_ns;
    static uint64_t random = 88172645463325252ULL; /* G. Marsaglia, "Xorshift RNGs", 2003 */
    if (plan.is_fifo) {
        int64_t begun_ns = arrived_ns > worker_free_ns ? arrived_ns : worker_free_ns;
        return worker_free_ns = begun_ns + plan.delay_ns;
    }
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    return arrived_ns + (random % 100 ? plan.delay_ns : plan.second_delay_ns);
}

/* ---- connections --------------------------------------------------------------- */

/* The queue bytes[start..end) holds answers in order: first `owed` bytes that are due and that
 * the kernel has not taken yet, then those of requests that wait, then the request in progress
 * (of HTTP, `matched` bytes of its end have been seen, and no byte of it is kept). */
struct connection {
    char *bytes;
    size_t start, end, room, owed, partial;
    uint64_t serial; /* 0: none */
    unsigned pending, matched;
    int at_eof, waits_to_send;
};
static struct connection *connections;
static int epoll;

static void watch(int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, operation, fd, &event) < 0) die("epoll_ctl");
}

static void drop(int fd) {
    free(connections[fd].bytes);
    memset(&connections[fd], 0, sizeof connections[fd]);
    close(fd);
}

static void append(struct connection *to, const char *bytes, size_t length) {
    if (to->start == to->end) to->start = to->end = 0;
    if (to->end + length > to->room) {
        size_t held = to->end - to->start;
        if (to->start) memmove(to->bytes, to->bytes + to->start, held);
        to->start = 0, to->end = held;
        if (held + length > to->room) {
            to->room = 2 * (held + length);
            to->bytes = realloc(to->bytes, to->room);
            if (!to->bytes) die("realloc");
        }
    }
    memcpy(to->bytes + to->end, bytes, length);
    to->end += length;
}

/* Queue the answers to what has come; return how many requests are now whole. */
static unsigned take_in(struct connection *from, const char *bytes, size_t length) {
    if (plan.request_bytes) {
        append(from, bytes, length);
        from->partial += length;
        unsigned whole = from->partial / plan.request_bytes;
        from->partial %= plan.request_bytes;
        return whole;
    }
    unsigned whole = 0;
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == END_OF_REQUEST[from->matched]) from->matched++;
        else from->matched = bytes[i] == '\r';
        if (from->matched < sizeof END_OF_REQUEST - 1) continue;
        from->matched = 0;
        append(from, RESPONSE, sizeof RESPONSE - 1);
        whole++;
    }
    return whole;
}

/* Send what is owed. While the kernel does not take all of it, nothing more is read. */
static void flush(int fd) {
    struct connection *to = &connections[fd];
    ssize_t sent = send(fd, to->bytes + to->start, to->owed, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return drop(fd);
    if (sent > 0) to->start += sent, to->owed -= sent;
    if (!to->owed && !to->pending && to->at_eof) return drop(fd);
    int must_wait = to->owed > 0;
    if (must_wait == to->waits_to_send) return;
    to->waits_to_send = must_wait;
    /* At the end of the stream there would be nothing to read, over and over. */
    watch(EPOLL_CTL_MOD, fd, must_wait ? EPOLLOUT : to->at_eof ? 0 : EPOLLIN);
}

static void answer(struct request request) {
    struct connection *to = &connections[request.fd];
    if (to->serial != request.connection) return; /* gone without waiting for it */
    to->pending--;
    to->owed += plan.answer_bytes;
    note_residence(now_ns() - request.arrived_ns);
    flush(request.fd);
}

static void end_of_stream(int fd) {
    struct connection *from = &connections[fd];
    from->at_eof = 1;
    if (!from->pending) return drop(fd);
    watch(EPOLL_CTL_MOD, fd, 0);
}

static int64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(one), sizeof stamp);
        return stamp.tv_sec * NS_PER_S + stamp.tv_nsec;
    }
    return 0;
}

static void read_once(int fd) {
    static char buffer[BUFFER_BYTES];
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec into = {buffer, sizeof buffer};
    struct msghdr message = {
        .msg_iov = &into, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) return drop(fd);
    if (got == 0) return end_of_stream(fd);
    struct connection *from = &connections[fd];
    unsigned whole = take_in(from, buffer, got);
    int64_t arrived_ns = stamp_of(&message);
    if (whole && !arrived_ns) {
        unstamped += whole;
        arrived_ns = now_ns();
    }
    from->pending += whole;
    while (whole--) push((struct request){due_ns(arrived_ns), arrived_ns, from->serial, fd});
}

static void accept_all(int listener) {
    static uint64_t serial;
    int on = 1;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK); /* stamps are inherited */
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd].serial = ++serial;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

/* ---- the loop ------------------------------------------------------------------ */

static volatile sig_atomic_t is_over;

static void on_signal(int number) {
    (void)number;
    is_over = 1;
}

static void sleep_until(int64_t when_ns) {
    struct timespec when = {when_ns / NS_PER_S, when_ns % NS_PER_S};
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL) == EINTR) continue;
}

static void stall_if_it_is_time(void) {
    static int64_t next_ns;
    if (!plan.period_ns) return;
    int64_t now = now_ns();
    if (!next_ns) next_ns = now + plan.period_ns / 2;
    for (; now >= next_ns; next_ns += plan.period_ns)
        if (now < next_ns + plan.stall_ns) sleep_until(next_ns + plan.stall_ns);
}

/* Called after every event: whatever is due goes out before anything more is read. */
static void answer_what_is_due(void) {
    stall_if_it_is_time();
    while (waiting && heap[0].due_ns <= now_ns()) {
        answer(pop());
        stall_if_it_is_time();
    }
}

static int wait_for_events(struct epoll_event *events) {
    int64_t wait_ns = LONGEST_SLEEP_NS;
    if (waiting) {
        int64_t left_ns = heap[0].due_ns - now_ns() - AWAKE_NS;
        if (left_ns < wait_ns) wait_ns = left_ns;
        if (wait_ns < 0 || plan.is_fifo) wait_ns = 0;
    }
    struct timespec at_most = {0, wait_ns};
    return epoll_pwait2(epoll, events, MAX_EVENTS, &at_most, NULL);
}

static void serve(int listener) {
    struct epoll_event events[MAX_EVENTS];
    epoll = epoll_create1(0);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    while (!is_over) {
        int ready = wait_for_events(events);
        answer_what_is_due();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all(listener);
            else if (!connections[fd].serial) continue; /* closed by an answer just now */
            else if (connections[fd].owed) flush(fd);
            else if (connections[fd].at_eof) drop(fd); /* its client is gone altogether */
            else read_once(fd);
            answer_what_is_due();
        }
    }
}

/* ---- beginning ----------------------------------------------------------------- */

/* The kernel begins to stamp a moment after the first socket on the host asked for it, and ends
 * with the last: the listener keeps it on, and no port is told before it works. */
static int listening(int backlog) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int on = 1;
    if (setsockopt(listener, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) die("SO_TIMESTAMPNS");
    usleep(50000);
    if (bind(listener, (struct sockaddr *)&address, length) < 0) die("bind");
    if (listen(listener, backlog) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("port %d answer %zu\n", ntohs(address.sin_port), plan.answer_bytes);
    fflush(stdout);
    return listener;
}

static int64_t microseconds(const char *text) {
    return text ? (int64_t)(atof(text) * 1000) : 0;
}

/* Return whether the command line makes sense. argv ends with a null pointer. */
static int parse(int argc, char **argv) {
    if (argc < 6) return 0;
    int is_http = !strcmp(argv[3], "http");
    plan.request_bytes = is_http ? 0 : strtoul(argv[3], NULL, 10);
    if (!is_http && !plan.request_bytes) return 0;
    plan.answer_bytes = plan.request_bytes ? plan.request_bytes : sizeof RESPONSE - 1;
    plan.delay_ns = plan.second_delay_ns = microseconds(argv[5]);
    plan.is_fifo = !strcmp(argv[4], "fifo");
    int has_two = !strcmp(argv[4], "peaks");
    if (!has_two && !plan.is_fifo && strcmp(argv[4], "delay")) return 0;
    if (has_two) plan.second_delay_ns = microseconds(argv[6]);
    char **rest = argv + 6 + (has_two && argc > 6);
    if (!*rest) return 1;
    if (strcmp(*rest, "stall") || argv + argc != rest + 3) return 0;
    plan.stall_ns = microseconds(rest[1]);
    plan.period_ns = microseconds(rest[2]);
    return 0 < plan.stall_ns && plan.stall_ns < plan.period_ns;
}

int main(int argc, char **argv) {
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: truth FILE BACKLOG SIZE|http delay US|peaks US US|fifo US [stall US US]\n");
        return 2;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < MAX_DESCRIPTORS ? limit.rlim_max : MAX_DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
    connections = calloc(limit.rlim_cur, sizeof *connections);
    residences = malloc(MAX_RESIDENCES * sizeof *residences);
    if (!connections || !residences) die("memory");
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* end with the one who started it */

    signal(SIGTERM, on_signal);
    serve(listening(atoi(argv[2])));
    return write_residences(argv[1]);
}
