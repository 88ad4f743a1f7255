/* Sending on many connections in one call. */

#include "_native_slots.h"

#include <errno.h>

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
PyObject *
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
PyObject *
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
