/* Slots and batches: what is known of a connection, and what is sent on it. */

#ifndef LOADGEN_ENGINE_NATIVE_SLOTS_H
#define LOADGEN_ENGINE_NATIVE_SLOTS_H

#include "_native.h"

#include <limits.h>

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

enum { NO_BATCH = -1, UNKNOWN = -2 };      /* instead of AWAITED_BYTES */
enum { SIZE_ONLY, EQUAL, DELIMITED };      /* how replies are checked */
enum { NOT_TRIED = INT_MIN };              /* instead of the result of a send */

#define ROW 6    /* origin, replies, intended_ns, sent_ns, stamp_ns, read_ns */
#define SENT 3   /* intended_ns, free_ns, sent_ns */
#define OTHER 7  /* descriptor, events, slot, size or -errno, offset, stamp_ns, read_ns */
#define FAILED 2 /* slot, bytes accepted or -errno or NOT_TRIED */

#define LEAST_ROOM 65536 /* bytes that a read must have room for */

/* ---- arguments ------------------------------------------------------------------------------- */

/* What `receive`, `send` and `submit` know of all connections. */
typedef struct {
    PyObject *slots, *slot_of, *batches, *buffer; /* borrowed */
    long long stamp_type;
} Table;

static inline int
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

static inline int
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

#endif
