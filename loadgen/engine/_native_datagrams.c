/* Datagrams: many on one socket in one call.

   Facts. recvmmsg(2) saves a fifth of a read with a time stamp where several datagrams are there;
   for a single one, recv(2) is faster by a quarter. sendmmsg(2) saves 3 % of a send over loopback,
   and does not say when each of its datagrams left: the middle of a call that sends 8 is off by 7
   microseconds either way, that of one that sends a single one by 0.2.

   Decision. Several are read by one recvmmsg, where there is one. Each is sent by a send(2) of its
   own, between two looks at the clock; the one after a send is also the one before the next. What
   ends a call early, an error or that nothing more is there, is handed back beside what came before
   it, and changes nothing here.

   Danger. recvmmsg tells of an error only where it comes first: the socket keeps one that comes
   behind a datagram, for the next call on it. And what is longer than the room for it is cut short
   in silence; so a datagram that fills its room counts as one that was.

   The GIL is held: no call waits, and there are MOST datagrams in one at most. */

#define _GNU_SOURCE /* recvmmsg(2) */
#include "_native.h"

#include <errno.h>
#include <sys/uio.h>

#if defined(__linux__) && !defined(ONE_BY_ONE) /* which the tests define, to have both here */
#define HAS_RECVMMSG
#endif

#define MOST 64 /* datagrams in a call */
#define READ_WIDTH 3  /* size or -errno, stamp_ns, read_ns */

typedef struct {
    Integers reads;
    Py_buffer buffer;
    long long part_bytes, stamp_type, stamp_every, most, unstamped_left;
    int descriptor;
} Reading;

/* Whether the datagram of that number, of this call, gets a time stamp. */
static int
is_stamped(const Reading *reading, long long number)
{
    long long since = number - reading->unstamped_left;
    return reading->stamp_every && since >= 0 && since % reading->stamp_every == 0;
}

/* Lays out where the datagram of that number goes. */
static struct msghdr
room_for(const Reading *reading, long long number, struct iovec *part, Control *control)
{
    part->iov_base = (char *)reading->buffer.buf + number * reading->part_bytes;
    part->iov_len = (size_t)reading->part_bytes;
    struct msghdr message = {.msg_iov = part, .msg_iovlen = 1};
    if (is_stamped(reading, number)) {
        message.msg_control = control;
        message.msg_controllen = sizeof *control;
    }
    return message;
}

static void
note_read(Reading *reading, long long number, struct msghdr *message, int64_t size)
{
    int64_t *read = reading->reads.at + READ_WIDTH * number;
    read[0] = size < reading->part_bytes ? size : -EMSGSIZE;
    read[1] = NOT_ASKED;
    if (size >= 0 && is_stamped(reading, number))
        read[1] = stamp_of(message, (int)reading->stamp_type);
    read[2] = now_ns();
}

/* Reads one datagram after the other. Returns how many, an error among them. */
static long long
read_each(Reading *reading)
{
    long long number = 0;
    for (int64_t size = 0; size >= 0 && number < reading->most; number++) {
        struct iovec part;
        Control control;
        struct msghdr message = room_for(reading, number, &part, &control);
        do
            size = message.msg_control
                ? KERNEL(recvmsg)(reading->descriptor, &message, MSG_DONTWAIT)
                : KERNEL(recv)(reading->descriptor, part.iov_base, part.iov_len, MSG_DONTWAIT);
        while (size < 0 && errno == EINTR);
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        note_read(reading, number, &message, size < 0 ? -errno : size);
    }
    return number;
}

#ifdef HAS_RECVMMSG
/* The same, all at once. */
static long long
read_many(Reading *reading)
{
    struct iovec parts[MOST];
    struct mmsghdr messages[MOST];
    Control controls[MOST];
    for (long long i = 0; i < reading->most; i++)
        messages[i].msg_hdr = room_for(reading, i, &parts[i], &controls[i]);
    int found;
    do
        found = KERNEL(recvmmsg)(reading->descriptor, messages, (unsigned)reading->most,
                                 MSG_DONTWAIT, NULL);
    while (found < 0 && errno == EINTR);
    if (found < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        note_read(reading, 0, &messages[0].msg_hdr, -errno);
        return 1;
    }
    for (int i = 0; i < found; i++)
        note_read(reading, i, &messages[i].msg_hdr, messages[i].msg_len);
    return found;
}
#endif

/* receive_datagrams(table, descriptor, most, unstamped_left) -> how many

   table: (buffer, part_bytes, stamp_type, stamp_every, reads). Reads at most so many datagrams,
   each into its own part of the buffer, one part behind the other; of each, (size or -errno,
   stamp_ns, read_ns) stands in `reads`: -EMSGSIZE for one that was cut short, any other error is
   the last. Every stamp_every-th gets a time stamp, the first of them after unstamped_left others;
   none does where stamp_every is 0. */
PyObject *
receive_datagrams(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    PyObject *buffer, *reads;
    Reading reading;
    if (expect_arguments("receive_datagrams", given, 4) < 0
        || expect_tuple(args[0]) < 0
        || !PyArg_ParseTuple(args[0], "OLLLO", &buffer, &reading.part_bytes, &reading.stamp_type,
                             &reading.stamp_every, &reads)
        || descriptor_of(args[1], &reading.descriptor) < 0 || integer(args[2], &reading.most) < 0
        || integer(args[3], &reading.unstamped_left) < 0
        || open_all(&reads, &reading.reads, 1) < 0)
        return NULL;
    long long found = -1;
    if (PyObject_GetBuffer(buffer, &reading.buffer, PyBUF_WRITABLE) == 0) {
        if (reading.part_bytes < 1 || reading.most < 1 || reading.most > MOST
            || reading.most > reading.buffer.len / reading.part_bytes
            || reading.most > reading.reads.length / READ_WIDTH)
            refuse("more datagrams are to be read than there is room for");
        else if (reading.stamp_every < 0 || reading.unstamped_left < 0)
            refuse("datagrams before the first one that gets a time stamp are less than none");
        else
#ifdef HAS_RECVMMSG
            found = reading.most > 1 ? read_many(&reading) : read_each(&reading);
#else
            found = read_each(&reading);
#endif
        PyBuffer_Release(&reading.buffer);
    }
    close_all(&reading.reads, 1);
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

/* send_datagrams(descriptor, messages, sent) -> (how many, errno)

   Sends the messages, a tuple of bytes, until one is not accepted, for the reason errno; it is 0
   where all are. `sent` gets the time of each, that of the one that was not accepted, too. */
PyObject *
send_datagrams(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    int descriptor, code = 0;
    Integers sent;
    if (expect_arguments("send_datagrams", given, 3) < 0 || descriptor_of(args[0], &descriptor) < 0
        || expect_tuple(args[1]) < 0 || open_all(args + 2, &sent, 1) < 0)
        return NULL;
    Py_ssize_t count = PyTuple_Size(args[1]), done = 0;
    if (count > MOST || count > sent.length)
        code = refuse("more datagrams are to be sent than there is room for");
    int64_t began_ns = now_ns();
    while (!code && done < count) {
        const char *data;
        Py_ssize_t length;
        ssize_t size;
        if ((code = bytes_of(PyTuple_GetItem(args[1], done), &data, &length)) < 0)
            break;
        do
            size = KERNEL(send)(descriptor, data, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (size < 0 && errno == EINTR);
        code = size < 0 ? errno : 0;
        int64_t ended_ns = now_ns();
        sent.at[done] = middle_ns(began_ns, ended_ns);
        began_ns = ended_ns;
        done += !code;
    }
    close_all(&sent, 1);
    return code < 0 ? NULL : Py_BuildValue("ni", done, code);
}
