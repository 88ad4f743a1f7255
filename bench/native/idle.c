/* System calls that do nothing: what is left of a message is the work of the engine.
 *
 * Every message that is sent is answered at once: its connection is ready at the next wait, in the
 * order in which they were sent, and a read has the reply, with a stamp of the moment at which that
 * wait ended. Where nothing is under way, the kernel is asked, so that connections come up as ever.
 *
 * There may be several engines, which take turns. Each is known by its epoll descriptor, and what is
 * sent after a wait is of the engine that has waited. */
#include "idle.h"

#include <string.h>
#include <time.h>

enum { MOST_DESCRIPTORS = 4096, MOST_MESSAGES = 256, MOST_REPLY_BYTES = 512 };

struct engine {
    char reply[MOST_REPLY_BYTES];
    size_t reply_bytes;
    int answered[MOST_MESSAGES], count; /* the connections with a reply, in order */
};
static struct engine engines[MOST_DESCRIPTORS], *current = engines;
static char is_answered[MOST_DESCRIPTORS];
static struct timespec arrived;

/* Sets the reply to all messages of an engine. Returns whether there is room for it. */
int idle_answer(int epoll, const char *reply, size_t length) {
    if (epoll < 0 || epoll >= MOST_DESCRIPTORS || length > MOST_REPLY_BYTES) return 0;
    memcpy(engines[epoll].reply, reply, length);
    engines[epoll].reply_bytes = length;
    return 1;
}

ssize_t idle_send(int fd, const void *data, size_t length, int flags) {
    if (fd >= MOST_DESCRIPTORS || is_answered[fd] || current->count == MOST_MESSAGES)
        return send(fd, data, length, flags);
    is_answered[fd] = 1;
    current->answered[current->count++] = fd;
    return (ssize_t)length;
}

int idle_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms) {
    if (epoll >= MOST_DESCRIPTORS) return epoll_wait(epoll, events, most, timeout_ms);
    current = &engines[epoll];
    if (!current->count) return epoll_wait(epoll, events, most, timeout_ms);
    int found = current->count < most ? current->count : most;
    for (int i = 0; i < found; i++)
        events[i] = (struct epoll_event){.events = EPOLLIN, .data.fd = current->answered[i]};
    current->count -= found;
    memmove(current->answered, current->answered + found,
            (size_t)current->count * sizeof *current->answered);
    clock_gettime(CLOCK_REALTIME, &arrived);
    return found;
}

ssize_t idle_recv(int fd, void *into, size_t room, int flags) {
    if (fd >= MOST_DESCRIPTORS || !is_answered[fd] || room < current->reply_bytes)
        return recv(fd, into, room, flags);
    is_answered[fd] = 0;
    memcpy(into, current->reply, current->reply_bytes);
    return (ssize_t)current->reply_bytes;
}

ssize_t idle_recvmsg(int fd, struct msghdr *message, int flags) {
    if (fd >= MOST_DESCRIPTORS || !is_answered[fd]) return recvmsg(fd, message, flags);
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (header) {
        *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                                   .cmsg_type = SO_TIMESTAMPNS,
                                   .cmsg_len = CMSG_LEN(sizeof arrived)};
        memcpy(CMSG_DATA(header), &arrived, sizeof arrived);
        message->msg_controllen = CMSG_SPACE(sizeof arrived);
    }
    return idle_recv(fd, message->msg_iov->iov_base, message->msg_iov->iov_len, flags);
}
