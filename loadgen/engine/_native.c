/* The native half of the engine: what takes place for each message of a steady exchange.

   Facts. A message costs one receive and one send. In Python each of them takes 2 to 3 microseconds
   around the system call, most of it since caches and branch predictors are cold after the kernel.
   In C it takes less than a tenth of that.

   Decision. Three functions work through many connections in one call: `receive`, `send` and
   `submit`; the others wait. They keep no state: what they need to know of a connection is a row of
   COLUMNS 64-bit integers, its slot, in an array of the caller, who may read and change it between
   two calls. They know one exchange: a whole batch of messages sent at once, all replies to it read
   at once. Whatever else happens is handed back with its bytes, its time stamp and its error, and
   changes nothing here.

   Danger. Everything that is passed in is checked where it is used as an index. The GIL is held
   during `receive`, `send` and `submit`: none of their system calls waits, not even on a blocking
   socket (MSG_DONTWAIT), and one call makes some hundred of them. It is released around waits; what
   another thread writes meanwhile into an array is checked again.

   loadgen/engine/native.py gives the meaning of the columns; tests/engine/test_native.py has the
   same tables once more. */

#define _GNU_SOURCE /* ppoll(2), memmem(3) */
#include "_native.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) \
    || defined(__DragonFly__)
#define HAS_KQUEUE
#endif
#ifdef HAS_KQUEUE
#include <sys/event.h>
#endif

/* ---- tables, as in native.py ----------------------------------------------------------------- */

enum { /* the columns of a slot; what every message reads stands first, in 64 bytes */
    AWAITED_BYTES,
    IN_FLIGHT,
    INTENDED_NS,
    SENT_NS,
    ORIGIN,
    DESCRIPTOR,
    BATCH,
    UNSTAMPED_LEFT,
    BATCHES_LEFT,
    BATCHES_GRANTED,
    UNSCHEDULED,
    READ_AT_NS,
    RECEIVED_BYTES, /* of replies of a length that was not known */
    IS_UNCHECKED,
    COLUMNS
};

enum { NO_BATCH = -1, UNKNOWN = -2 };                    /* instead of AWAITED_BYTES */
enum { READ = 1, WRITE = 2 };                            /* the events of selectors */
enum { SIZE_ONLY, EQUAL, DELIMITED };                    /* how replies are checked */
enum { NOT_TRIED = INT_MIN };                            /* instead of the result of a send */

#define ROW 6    /* origin, replies, intended_ns, sent_ns, stamp_ns, read_ns */
#define SENT 3   /* intended_ns, free_ns, sent_ns */
#define OTHER 7  /* descriptor, events, slot, size or -errno, offset, stamp_ns, read_ns */
#define FAILED 2 /* slot, bytes accepted or -errno or NOT_TRIED */

#define MOST_EVENTS 128
#define LEAST_ROOM 65536        /* bytes that a read must have room for */
#define NS_PER_MS 1000000LL

/* ---- arguments ------------------------------------------------------------------------------- */

/* What `receive`, `send` and `submit` know of all connections. */
typedef struct {
    PyObject *slots, *slot_of, *batches, *buffer; /* borrowed */
    long long stamp_type;
} Table;

static int
open_table(PyObject *from, Table *table)
{
    if (expect_tuple(from) < 0
        || !PyArg_ParseTuple(from, "OOO!OL", &table->slots, &table->slot_of, &PyTuple_Type,
                             &table->batches, &table->buffer, &table->stamp_type))
        return -1;
    return 0;
}

/* What a batch sends, and how the replies to it are checked; those of the last slot are kept, for
   most slots have the same. */
typedef struct {
    PyObject *all; /* borrowed: a tuple of tuples */
    int64_t number;
    const char *data;
    Py_ssize_t data_bytes;
    long long reply_bytes, messages, check, kind, most_bytes, unstamped_after;
    const char *reply; /* EQUAL: the whole replies; DELIMITED: the delimiter */
    Py_ssize_t reply_length;
} Batch;

static int
load_batch(Batch *batch, int64_t number)
{
    if (number == batch->number && number >= 0)
        return 0;
    batch->number = -1;
    if (number < 0 || number >= PyTuple_Size(batch->all))
        return refuse("a slot has a batch that is not there");
    PyObject *fields = PyTuple_GetItem(batch->all, (Py_ssize_t)number);
    if (expect_tuple(fields) < 0)
        return -1;
    if (PyTuple_Size(fields) != 8)
        return refuse("a batch has eight fields");
    if (bytes_of(PyTuple_GetItem(fields, 0), &batch->data, &batch->data_bytes) < 0
        || integer(PyTuple_GetItem(fields, 1), &batch->reply_bytes) < 0
        || integer(PyTuple_GetItem(fields, 2), &batch->messages) < 0
        || integer(PyTuple_GetItem(fields, 3), &batch->check) < 0
        || bytes_of(PyTuple_GetItem(fields, 4), &batch->reply, &batch->reply_length) < 0
        || integer(PyTuple_GetItem(fields, 5), &batch->kind) < 0
        || integer(PyTuple_GetItem(fields, 6), &batch->most_bytes) < 0
        || integer(PyTuple_GetItem(fields, 7), &batch->unstamped_after) < 0)
        return -1;
    batch->number = number;
    return 0;
}

/* ---- waiting --------------------------------------------------------------------------------- */

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

#ifdef __linux__
/* Hang-ups and errors wake both sides, as in selectors. */
static int
events_of_epoll(uint32_t events)
{
    return (events & ~(uint32_t)EPOLLOUT ? READ : 0) | (events & ~(uint32_t)EPOLLIN ? WRITE : 0);
}

static PyObject *
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
        events.at[i] = event(ready[i].data.fd, events_of_epoll(ready[i].events));
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
        int happened = each->revents;
        if (happened & ~POLLOUT)
            happened = READ | (happened & ~POLLIN ? WRITE : 0);
        else if (happened)
            happened = WRITE;
        if (happened)
            watching->events.at[found++] = event(each->fd, happened);
    }
    return found;
}

#ifndef __APPLE__ /* it has no ppoll(2) */
static PyObject *
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

static PyObject *
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
static PyObject *
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

/* ---- receiving ------------------------------------------------------------------------------- */

/* Reads once, without a time stamp. Returns the size, or -errno. */
static int64_t
read_plain(int descriptor, char *into, size_t room)
{
    ssize_t size;
    do
        size = KERNEL(recv)(descriptor, into, room, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

/* The same, with the stamp of the control message, whose type is given. */
static int64_t
read_stamped(int descriptor, char *into, size_t room, int type, int64_t *stamp_ns)
{
    Control control;
    struct iovec vector = {.iov_base = into, .iov_len = room};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t size;
    do
        size = KERNEL(recvmsg)(descriptor, &message, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    *stamp_ns = MISSING;
    if (size < 0)
        return -errno;
    *stamp_ns = stamp_of(&message, type);
    return size;
}

/* Whether bytes are all the replies to the batch, and nothing else. */
static int
is_whole(const int64_t *slot, const Batch *batch, const char *bytes, int64_t size)
{
    if (slot[AWAITED_BYTES] != UNKNOWN)
        return size == slot[AWAITED_BYTES] && size > 0 /* the end of a stream is no reply */
            && (batch->check != EQUAL
                || (size == batch->reply_length && !memcmp(bytes, batch->reply, (size_t)size)));
    if (slot[IS_UNCHECKED] || size <= 0 || size > batch->most_bytes || !batch->reply_length)
        return 0;
    size_t length = (size_t)batch->reply_length;
    if (batch->check == EQUAL)
        return (size_t)size == length && !memcmp(bytes, batch->reply, length);
    if (batch->check != DELIMITED || batch->messages != 1 || (size_t)size < length)
        return 0;
    const char *end = bytes + size - length;
    return memmem(bytes, (size_t)size, batch->reply, length) == end;
}

typedef struct {
    Integers slots, slot_of, rows, replied, others;
    Py_buffer buffer;
    Batch batch;
    long long stamp_type;
    Py_ssize_t rows_filled, replied_count, others_count;
    size_t used; /* of the buffer */
} Receiving;

/* Hands back an event that is none of a steady exchange, or what a read gave. Returns 1. */
static int
hand_back(Receiving *to, int64_t descriptor, int64_t events, const int64_t *read)
{
    int64_t *other = to->others.at + OTHER * to->others_count++;
    other[0] = descriptor;
    other[1] = events;
    if (read)
        memcpy(other + 2, read, (OTHER - 2) * sizeof *other);
    return 1;
}

/* Handles one event. Returns 1, or 0 where the buffer has no room left, or -1 for an error. */
static int
receive_one(Receiving *to, int64_t happened)
{
    int64_t descriptor = happened >> 32, events = happened & 0xffffffff;
    int64_t number = descriptor >= 0 && descriptor < to->slot_of.length
        ? to->slot_of.at[descriptor]
        : -1;
    int64_t *slot = NULL;
    if (number >= 0 && number < to->slots.length / COLUMNS)
        slot = to->slots.at + number * COLUMNS;
    if (!slot || slot[DESCRIPTOR] != descriptor || events != READ)
        return hand_back(to, descriptor, events, NULL);
    size_t room = (size_t)to->buffer.len - to->used;
    if (to->used && room < LEAST_ROOM)
        return 0;
    if (load_batch(&to->batch, slot[BATCH]) < 0)
        return -1;
    char *into = (char *)to->buffer.buf + to->used;
    int64_t stamp_ns = NOT_ASKED, size;
    int is_stamped = slot[UNSTAMPED_LEFT] <= 0;
    if (is_stamped)
        size = read_stamped((int)descriptor, into, room, (int)to->stamp_type, &stamp_ns);
    else
        size = read_plain((int)descriptor, into, room);
    if (size == -EAGAIN || size == -EWOULDBLOCK)
        return 1;
    int64_t read_ns = now_ns();
    if (!is_whole(slot, &to->batch, into, size)) {
        if (is_stamped && size >= 0 && (size_t)size == room && stamp_ns > 0)
            stamp_ns = UPPER_BOUND; /* it may belong to what is still to be read */
        int64_t read[OTHER - 2] = {number, size, (int64_t)to->used, stamp_ns, read_ns};
        to->used += size > 0 ? (size_t)size : 0;
        return hand_back(to, descriptor, 0, read);
    }
    int64_t kind = 0;
    if (slot[AWAITED_BYTES] == UNKNOWN) {
        kind = to->batch.kind;
        slot[RECEIVED_BYTES] += size;
    }
    int64_t *row = to->rows.at + ROW * to->rows_filled++;
    row[0] = slot[ORIGIN] | kind;
    row[1] = slot[IN_FLIGHT];
    row[2] = slot[INTENDED_NS];
    row[3] = slot[SENT_NS];
    row[4] = stamp_ns;
    row[5] = read_ns;
    slot[AWAITED_BYTES] = NO_BATCH;
    slot[IN_FLIGHT] = 0;
    slot[READ_AT_NS] = read_ns;
    slot[UNSTAMPED_LEFT] = is_stamped ? to->batch.unstamped_after : slot[UNSTAMPED_LEFT] - 1;
    to->replied.at[to->replied_count++] = number;
    return 1;
}

/* Checks that there is room for whatever `count` events may bring, so that no byte is read that
   could not be handed on. */
static int
check_room(const Receiving *to, long long count)
{
    if (to->rows_filled < 0 || count > to->rows.length / ROW - to->rows_filled
        || count > to->replied.length || count > to->others.length / OTHER)
        return refuse("no room for what is received");
    if (!to->buffer.len)
        return refuse("no room for bytes"); /* to read none looks like the end of the stream */
    return 0;
}

/* receive(table, events, first, last, out, rows_filled) -> (next, replied, others, rows_filled)

   table: (slots, slot_of, batches, buffer, stamp_type). out: (rows, replied, others). Handles the
   events from first to last, and returns which it has not come to, for want of room in the buffer:
   that is to be called for again when what was handed back has been handled. */
static PyObject *
receive(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Table table;
    PyObject *rows, *replied, *others;
    Receiving to = {.batch = {.number = -1}};
    long long first, last, filled;
    Integers events;
    if (expect_arguments("receive", given, 6) < 0 || open_table(args[0], &table) < 0
        || integer(args[2], &first) < 0 || integer(args[3], &last) < 0
        || expect_tuple(args[4]) < 0
        || !PyArg_ParseTuple(args[4], "OOO", &rows, &replied, &others)
        || integer(args[5], &filled) < 0)
        return NULL;
    PyObject *from[] = {args[1], table.slots, table.slot_of, rows, replied, others};
    Integers opened[6];
    if (open_all(from, opened, 6) < 0)
        return NULL;
    events = opened[0];
    to.slots = opened[1];
    to.slot_of = opened[2];
    to.rows = opened[3];
    to.replied = opened[4];
    to.others = opened[5];
    to.batch.all = table.batches;
    to.stamp_type = table.stamp_type;
    to.rows_filled = (Py_ssize_t)filled;
    int done = -1;
    if (PyObject_GetBuffer(table.buffer, &to.buffer, PyBUF_WRITABLE) == 0) {
        if (first < 0 || first > last || last > events.length)
            refuse("receive was given events that are not there");
        else if (check_room(&to, last - first) == 0)
            for (done = 1; first < last; first++)
                if ((done = receive_one(&to, events.at[first])) <= 0)
                    break;
        PyBuffer_Release(&to.buffer);
    }
    close_all(opened, 6);
    if (done < 0)
        return NULL;
    return Py_BuildValue("Lnnn", first, to.replied_count, to.others_count, to.rows_filled);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int64_t
write_all(int descriptor, const char *data, size_t length)
{
    ssize_t size;
    do
        size = KERNEL(send)(descriptor, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (size < 0 && errno == EINTR);
    return size < 0 ? -errno : size;
}

typedef struct {
    Integers slots, who, failed;
    Batch batch;
    Py_ssize_t failed_count;
} Sending;

static void
note_failed(Sending *to, int64_t number, int64_t result)
{
    int64_t *failed = to->failed.at + FAILED * to->failed_count++;
    failed[0] = number;
    failed[1] = result;
}

/* Returns the slot of that number if a batch can be sent on it; or NULL, perhaps with an error. */
static int64_t *
free_slot(Sending *to, int64_t number, int is_scheduled)
{
    if (number < 0 || number >= to->slots.length / COLUMNS) {
        refuse("there is no slot of that number");
        return NULL;
    }
    int64_t *slot = to->slots.at + number * COLUMNS;
    if (slot[DESCRIPTOR] < 0 || slot[DESCRIPTOR] > INT_MAX || slot[IN_FLIGHT]
        || (is_scheduled ? slot[UNSCHEDULED] <= 0 : slot[BATCHES_LEFT] <= 0))
        return NULL;
    if (load_batch(&to->batch, slot[BATCH]) < 0 || !to->batch.data_bytes)
        return NULL;
    return slot;
}

/* Sends the batch of a slot; the caller has counted it. Returns whether all was accepted. */
static int
send_batch(Sending *to, int64_t number, int64_t *slot, int64_t intended_ns)
{
    const Batch *batch = &to->batch;
    int64_t began_ns = now_ns();
    int64_t size = write_all((int)slot[DESCRIPTOR], batch->data, (size_t)batch->data_bytes);
    slot[SENT_NS] = middle_ns(began_ns, now_ns());
    slot[INTENDED_NS] = intended_ns;
    slot[AWAITED_BYTES] = batch->reply_bytes;
    slot[IN_FLIGHT] = batch->messages;
    if (size == batch->data_bytes)
        return 1;
    note_failed(to, number, size);
    return 0;
}

/* Takes a slot on which nothing can be sent as failed, unless there is an error. */
static int
pass_over(Sending *to, int64_t number)
{
    if (PyErr_Occurred())
        return -1;
    note_failed(to, number, NOT_TRIED);
    return 0;
}

/* send(table, who, count, failed) -> how many have failed

   Sends a batch on each of the slots, closed loop. */
static PyObject *
send_many(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Table table;
    Sending to = {.batch = {.number = -1}};
    long long count;
    if (expect_arguments("send", given, 4) < 0 || open_table(args[0], &table) < 0
        || integer(args[2], &count) < 0)
        return NULL;
    PyObject *from[] = {table.slots, args[1], args[3]};
    Integers opened[3];
    if (open_all(from, opened, 3) < 0)
        return NULL;
    to.slots = opened[0];
    to.who = opened[1];
    to.failed = opened[2];
    to.batch.all = table.batches;
    int done = 0;
    if (count < 0 || count > to.who.length || count > to.failed.length / FAILED)
        done = refuse("send was given too few slots, or no room for those that fail");
    for (long long i = 0; !done && i < count; i++) {
        int64_t number = to.who.at[i];
        int64_t *slot = free_slot(&to, number, 0);
        if (slot) {
            slot[BATCHES_LEFT]--;
            send_batch(&to, number, slot, slot[INTENDED_NS]);
        } else
            done = pass_over(&to, number);
    }
    close_all(opened, 3);
    return done < 0 ? NULL : PyLong_FromSsize_t(to.failed_count);
}

/* submit(table, due, count, sends, sends_filled, failed) -> (sends_filled, how many have failed)

   Sends a message on each of the slots, under a schedule. due: (slot, intended_ns, free_ns) of
   each. sends: where (intended_ns, free_ns, sent_ns) of each goes that has not failed. */
static PyObject *
submit_many(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Table table;
    Sending to = {.batch = {.number = -1}};
    long long count, filled;
    if (expect_arguments("submit", given, 6) < 0 || open_table(args[0], &table) < 0
        || integer(args[2], &count) < 0 || integer(args[4], &filled) < 0)
        return NULL;
    PyObject *from[] = {table.slots, args[1], args[5], args[3]};
    Integers opened[4];
    if (open_all(from, opened, 4) < 0)
        return NULL;
    to.slots = opened[0];
    to.who = opened[1];
    to.failed = opened[2];
    Integers sends = opened[3];
    to.batch.all = table.batches;
    int done = 0;
    if (count < 0 || filled < 0 || count > to.who.length / SENT
        || filled > sends.length / SENT - count || count > to.failed.length / FAILED)
        done = refuse("submit was given too few messages, or no room for what becomes of them");
    for (long long i = 0; !done && i < count; i++) {
        const int64_t *due = to.who.at + SENT * i;
        int64_t *slot = free_slot(&to, due[0], 1);
        if (!slot) {
            done = pass_over(&to, due[0]);
            continue;
        }
        slot[UNSCHEDULED]--;
        slot[BATCHES_GRANTED]++;
        if (send_batch(&to, due[0], slot, due[1])) {
            int64_t *sent = sends.at + SENT * filled++;
            sent[0] = due[1];
            sent[1] = due[2];
            sent[2] = slot[SENT_NS];
        }
    }
    close_all(opened, 4);
    return done < 0 ? NULL : Py_BuildValue("Ln", filled, to.failed_count);
}

/* ---- the module ------------------------------------------------------------------------------ */

#define FUNCTION(name, function) {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
#ifdef __linux__
    FUNCTION("wait_epoll", wait_epoll),
#endif
#ifndef __APPLE__
    FUNCTION("wait_poll", wait_poll),
#endif
    FUNCTION("wait_select", wait_select),
#ifdef HAS_KQUEUE
    FUNCTION("wait_kqueue", wait_kqueue),
#endif
    FUNCTION("receive", receive),
    FUNCTION("send", send_many),
    FUNCTION("submit", submit_many),
    FUNCTION("receive_datagrams", receive_datagrams),
    FUNCTION("send_datagrams", send_datagrams),
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots_of_module[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "loadgen.engine._native",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots_of_module,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
