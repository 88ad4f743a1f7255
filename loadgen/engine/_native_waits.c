/* Waits: for what is ready, in nanoseconds, without an object for an event. */

#define _GNU_SOURCE /* ppoll(2) */
#include "_native.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/time.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#ifdef HAS_KQUEUE
#include <sys/event.h>
#endif

#define MOST_EVENTS 128
#define NS_PER_MS 1000000LL

static struct timespec
span(long long ns)
{
    struct timespec length = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
    return length;
}

static int64_t
event(int descriptor, int events)
{
    return (int64_t)descriptor << 32 | events;
}

/* Returns what a wait has found, and whether it failed; a signal is handled, and ends it. */
static PyObject *
waited(long long found, int code)
{
    if (code == EINTR) {
        if (PyErr_CheckSignals() < 0)
            return NULL;
        return PyLong_FromLong(0);
    }
    if (code) {
        errno = code;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLongLong(found);
}

/* Returns what `happened` means: hang-ups and errors wake both sides, as in selectors. */
static int
events_of(unsigned happened, unsigned readable, unsigned writable)
{
    return (happened & ~writable ? READ : 0) | (happened & ~readable ? WRITE : 0);
}

#ifdef __linux__
PyObject *
wait_epoll(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Integers events;
    int epoll;
    long long timeout_ns;
    if (expect_arguments("wait_epoll", given, 3) < 0 || descriptor_of(args[0], &epoll) < 0
        || integer(args[1], &timeout_ns) < 0 || open_all(args + 2, &events, 1) < 0)
        return NULL;
    struct epoll_event ready[MOST_EVENTS];
    int most = events.length < MOST_EVENTS ? (int)events.length : MOST_EVENTS;
    int found = 1, code = 0, timeout_ms = 0;
    Py_BEGIN_ALLOW_THREADS
    if (timeout_ns < 0)
        timeout_ms = -1;
    else if (timeout_ns % NS_PER_MS == 0)
        timeout_ms = timeout_ns / NS_PER_MS < INT_MAX ? (int)(timeout_ns / NS_PER_MS) : INT_MAX;
    else { /* epoll_wait(2) counts in milliseconds, ppoll(2) in nanoseconds */
        struct pollfd whole = {.fd = epoll, .events = POLLIN};
        struct timespec timeout = span(timeout_ns);
        found = KERNEL(ppoll)(&whole, 1, &timeout, NULL);
    }
    if (found > 0)
        found = KERNEL(epoll_wait)(epoll, ready, most ? most : 1, timeout_ms);
    if (found < 0)
        code = errno;
    Py_END_ALLOW_THREADS
    for (int i = 0; i < found && i < most; i++)
        events.at[i] = event(ready[i].data.fd, events_of(ready[i].events, EPOLLIN, EPOLLOUT));
    close_all(&events, 1);
    return waited(found < most ? found : most, code);
}
#endif

/* Arguments of the waits that watch a list of descriptors. */
typedef struct {
    Py_buffer view;
    struct pollfd *watched;
    long long count, timeout_ns, start;
    Integers events;
} Watching;

static int
open_watching(const char *name, PyObject *const *args, Py_ssize_t given, Watching *watching)
{
    if (expect_arguments(name, given, 5) < 0 || integer(args[1], &watching->count) < 0
        || integer(args[2], &watching->timeout_ns) < 0 || integer(args[3], &watching->start) < 0
        || PyObject_GetBuffer(args[0], &watching->view, PyBUF_WRITABLE) < 0)
        return -1;
    watching->watched = watching->view.buf;
    if (watching->count < 0 || watching->start < 0 || (uintptr_t)watching->view.buf % sizeof(int)
        || watching->view.len / (Py_ssize_t)sizeof(struct pollfd) < watching->count)
        refuse("descriptors are to be watched that the list does not hold");
    else if (open_integers(args[4], &watching->events) == 0)
        return 0;
    PyBuffer_Release(&watching->view);
    return -1;
}

static void
close_watching(Watching *watching)
{
    close_all(&watching->events, 1);
    PyBuffer_Release(&watching->view);
}

/* Lists what `watched` says has happened, from `start` on and around, so that the last have their
   turn when not all can be listed. Returns how many. */
static int
list_events(Watching *watching)
{
    int found = 0;
    for (long long i = 0; i < watching->count && found < watching->events.length; i++) {
        struct pollfd *each = &watching->watched[(watching->start % watching->count + i)
                                                 % watching->count];
        if (each->revents)
            watching->events.at[found++] =
                event(each->fd, events_of((unsigned short)each->revents, POLLIN, POLLOUT));
    }
    return found;
}

#ifdef HAS_PPOLL
PyObject *
wait_poll(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Watching watching;
    if (open_watching("wait_poll", args, given, &watching) < 0)
        return NULL;
    int found, code = 0;
    struct timespec timeout = span(watching.timeout_ns < 0 ? 0 : watching.timeout_ns);
    Py_BEGIN_ALLOW_THREADS
    found = KERNEL(ppoll)(watching.watched, (nfds_t)watching.count,
                          watching.timeout_ns < 0 ? NULL : &timeout, NULL);
    if (found < 0)
        code = errno;
    Py_END_ALLOW_THREADS
    if (found > 0)
        found = list_events(&watching);
    close_watching(&watching);
    return waited(found, code);
}
#endif

static int
is_selectable(int descriptor)
{
    return descriptor >= 0 && descriptor < FD_SETSIZE;
}

PyObject *
wait_select(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Watching watching;
    if (open_watching("wait_select", args, given, &watching) < 0)
        return NULL;
    fd_set readable, writable;
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    int highest = -1, found, code = 0;
    for (long long i = 0; i < watching.count; i++) {
        struct pollfd *each = &watching.watched[i];
        if (!is_selectable(each->fd)) {
            close_watching(&watching);
            refuse("select(2) cannot watch a descriptor from FD_SETSIZE on");
            return NULL;
        }
        if (each->events & POLLIN)
            FD_SET(each->fd, &readable);
        if (each->events & POLLOUT)
            FD_SET(each->fd, &writable);
        highest = each->fd > highest ? each->fd : highest;
    }
    struct timespec timeout = span(watching.timeout_ns < 0 ? 0 : watching.timeout_ns);
    Py_BEGIN_ALLOW_THREADS
    found = KERNEL(pselect)(highest + 1, &readable, &writable, NULL,
                            watching.timeout_ns < 0 ? NULL : &timeout, NULL);
    if (found < 0)
        code = errno;
    Py_END_ALLOW_THREADS
    if (found > 0) {
        for (long long i = 0; i < watching.count; i++) {
            struct pollfd *each = &watching.watched[i];
            each->revents = 0;
            if (is_selectable(each->fd))
                each->revents = (short)((FD_ISSET(each->fd, &readable) ? POLLIN : 0)
                                        | (FD_ISSET(each->fd, &writable) ? POLLOUT : 0));
        }
        found = list_events(&watching);
    }
    close_watching(&watching);
    return waited(found, code);
}

#ifdef HAS_KQUEUE
PyObject *
wait_kqueue(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Integers events;
    int queue;
    long long timeout_ns;
    if (expect_arguments("wait_kqueue", given, 3) < 0 || descriptor_of(args[0], &queue) < 0
        || integer(args[1], &timeout_ns) < 0 || open_all(args + 2, &events, 1) < 0)
        return NULL;
    struct kevent ready[MOST_EVENTS];
    int most = events.length < MOST_EVENTS ? (int)events.length : MOST_EVENTS;
    int found, code = 0;
    struct timespec timeout = span(timeout_ns < 0 ? 0 : timeout_ns);
    Py_BEGIN_ALLOW_THREADS
    found = kevent(queue, NULL, 0, ready, most, timeout_ns < 0 ? NULL : &timeout);
    if (found < 0)
        code = errno;
    Py_END_ALLOW_THREADS
    for (int i = 0; i < found; i++)
        events.at[i] = event((int)ready[i].ident, ready[i].filter == EVFILT_READ ? READ : WRITE);
    close_all(&events, 1);
    return waited(found, code);
}
#endif
