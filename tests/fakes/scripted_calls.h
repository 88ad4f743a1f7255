/* System calls that a test scripts, as a C file takes them by -D'KERNEL(call)=scripted_##call'.

   Those for bytes are interrupted each first time, and take place when they are repeated. A message
   such as "errno 105" is not sent: that is the error. */

#ifndef SCRIPTED_CALLS_H
#define SCRIPTED_CALLS_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define scripted_epoll_wait epoll_wait
#define scripted_ppoll ppoll
#define scripted_pselect pselect

static int scripted_calls;

static inline int
is_interrupted(void)
{
    errno = EINTR;
    return scripted_calls++ % 2 == 0;
}

static inline ssize_t
scripted_send(int descriptor, const void *data, size_t length, int flags)
{
    char text[16] = "";
    if (is_interrupted())
        return -1;
    memcpy(text, data, length < sizeof text ? length : sizeof text - 1);
    if (sscanf(text, "errno %d", &errno) == 1)
        return -1;
    return send(descriptor, data, length, flags);
}

static inline ssize_t
scripted_recv(int descriptor, void *into, size_t room, int flags)
{
    return is_interrupted() ? -1 : recv(descriptor, into, room, flags);
}

static inline ssize_t
scripted_recvmsg(int descriptor, struct msghdr *message, int flags)
{
    return is_interrupted() ? -1 : recvmsg(descriptor, message, flags);
}

#ifdef __linux__
static inline int
scripted_recvmmsg(int descriptor, struct mmsghdr *messages, unsigned most, int flags,
                  struct timespec *timeout)
{
    return is_interrupted() ? -1 : recvmmsg(descriptor, messages, most, flags, timeout);
}
#endif

#endif
