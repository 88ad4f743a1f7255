/* Receiving on many connections in one call. */

#define _GNU_SOURCE /* memmem(3) */
#include "_native_slots.h"

#include <errno.h>
#include <sys/uio.h>

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
PyObject *
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
