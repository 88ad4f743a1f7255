/* kqueue(2) as far as a wait needs it, for a system that has none: the queue is an epoll descriptor.
   As there, a descriptor that is readable and writable is two events. */

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)

struct kevent {
    uintptr_t ident;
    int16_t filter;
};

static int
kevent(int queue, const struct kevent *changes, int change_count, struct kevent *events, int most,
       const struct timespec *timeout)
{
    struct epoll_event ready[64];
    int found = 0;
    (void)changes;
    if (change_count || most < 2) {
        errno = EINVAL;
        return -1;
    }
    int most_ready = most / 2 < 64 ? most / 2 : 64;
    int timeout_ms = timeout ? (int)(timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000) : -1;
    int count = epoll_wait(queue, ready, most_ready, timeout_ms);
    for (int i = 0; i < count; i++) {
        uintptr_t ident = (uintptr_t)ready[i].data.fd;
        if (ready[i].events & ~(uint32_t)EPOLLOUT)
            events[found++] = (struct kevent){ident, EVFILT_READ};
        if (ready[i].events & ~(uint32_t)EPOLLIN)
            events[found++] = (struct kevent){ident, EVFILT_WRITE};
    }
    return count < 0 ? -1 : found;
}
