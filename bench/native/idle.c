/* System calls that do nothing: what is left of a message is the work of the engine.
 *
 * Every message that is sent is answered at once, with the same reply: its connection is ready at
 * the next wait, in the order in which they were sent, and a read has the reply, with a stamp of the
 * moment at which that wait ended. Where nothing is under way, the kernel is asked, so that
 * connections come up as ever. */
#include "idle.h"

#include <string.h>
#include <time.h>

enum { MOST_DESCRIPTORS = 4096 };

static char reply[65536];
static size_t reply_bytes;
static int answered[MOST_DESCRIPTORS], count; /* the descriptors with a reply, in order */
static char is_answered[MOST_DESCRIPTORS];
static struct timespec arrived;

/* Sets the reply. Returns whether there is room for it. */
int idle_answer(const char *bytes, size_t length) {
    if (length > sizeof reply) return 0;
    memcpy(reply, bytes, length);
    reply_bytes = length;
    return 1;
}

ssize_t idle_send(int fd, const void *data, size_t length, int flags) {
    if (fd >= MOST_DESCRIPTORS || is_answered[fd]) return send(fd, data, length, flags);
    is_answered[fd] = 1;
    answered[count++] = fd;
    return (ssize_t)length;
}

int idle_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms) {
    if (!count) return epoll_wait(epoll, events, most, timeout_ms);
    int found = count < most ? count : most;
    for (int i = 0; i < found; i++)
        events[i] = (struct epoll_event){.events = EPOLLIN, .data.fd = answered[i]};
    count -= found;
    memmove(answered, answered + found, (size_t)count * sizeof *answered);
    clock_gettime(CLOCK_REALTIME, &arrived);
    return found;
}

ssize_t idle_recv(int fd, void *into, size_t room, int flags) {
    if (fd >= MOST_DESCRIPTORS || !is_answered[fd] || room < reply_bytes)
        return recv(fd, into, room, flags);
    is_answered[fd] = 0;
    memcpy(into, reply, reply_bytes);
    return (ssize_t)reply_bytes;
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
