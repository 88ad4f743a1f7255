/* The native half of the echo server: what takes place for each message while all goes well.

   Facts. An immediate answer costs one receive and one send; see loadgen/engine/_native.c for what
   Python adds to each.

   Decision. `echo` takes the list that a selector returns, and sends back what has come on one
   connection after the other, until it meets something else: another event, the end of a stream,
   an error, a send that is not taken whole. That is left to the caller, who goes on behind it. Order
   is kept, and nothing is kept here between two calls. What a failed read has met is not passed on:
   the caller reads again and meets it, too, or the end that follows it.

   Danger. No Python code may run while `echo` holds borrowed references, so it takes exact kinds of
   arguments only. The GIL is held: no system call waits. */

#include "../net/native.h"

enum { READ = 1 };                   /* selectors.EVENT_READ */
enum { OTHER = -1, MALFORMED = -2 }; /* instead of a descriptor */

static int
malformed(void)
{
    PyErr_SetString(PyExc_TypeError, "pairs of a SelectorKey and its events are expected");
    return MALFORMED;
}

/* Returns the descriptor of what is ready if it can be read, and has data of its own: a connection.
   OTHER for all else, MALFORMED with an exception for what no selector returns. */
static int
connection_in(PyObject *pair)
{
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2)
        return malformed();
    PyObject *key = PyTuple_GetItem(pair, 0), *happened = PyTuple_GetItem(pair, 1);
    if (!PyTuple_Check(key) || PyTuple_Size(key) != 4 || !PyLong_Check(happened))
        return malformed();
    PyObject *number = PyTuple_GetItem(key, 1), *data = PyTuple_GetItem(key, 3);
    if (!PyLong_Check(number))
        return malformed();
    long descriptor = PyLong_AsLong(number), events = PyLong_AsLong(happened);
    if (PyErr_Occurred())
        return MALFORMED;
    if (data == Py_None || events != READ || descriptor < 0 || descriptor > INT_MAX)
        return OTHER;
    return (int)descriptor;
}

/* echo(ready, first, buffer, is_sink) -> (next, received, sent, rest_start, rest_end)

   Answers ready[first:next], and returns the bytes received and sent; a sink sends none. `next` is
   the length of `ready`, or the place of what is left to the caller. Of what was read there,
   buffer[rest_start:rest_end] is still to be sent; if that is empty, nothing was read. */
static PyObject *
echo(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *ready;
    Py_ssize_t next, rest_start = 0, rest_end = 0;
    long long received = 0, sent = 0;
    Py_buffer buffer;
    int is_sink;
    if (!PyArg_ParseTuple(arguments, "O!nw*p:echo", &PyList_Type, &ready, &next, &buffer, &is_sink))
        return NULL;
    if (next < 0 || next > PyList_Size(ready) || !buffer.len) {
        PyBuffer_Release(&buffer);
        refuse("echo needs a place within the list, and room to read");
        return NULL;
    }
    int descriptor = OTHER;
    for (; next < PyList_Size(ready); next++) {
        if ((descriptor = connection_in(PyList_GetItem(ready, next))) < 0)
            break;
        ssize_t size = recv(descriptor, buffer.buf, (size_t)buffer.len, MSG_DONTWAIT);
        if (size <= 0)
            break;
        received += size;
        if (is_sink)
            continue;
        ssize_t taken = send(descriptor, buffer.buf, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += taken > 0 ? taken : 0;
        if (taken != size) {
            rest_start = taken > 0 ? taken : 0;
            rest_end = size;
            break;
        }
    }
    PyBuffer_Release(&buffer);
    if (descriptor == MALFORMED)
        return NULL;
    return Py_BuildValue("nLLnn", next, received, sent, rest_start, rest_end);
}

/* ---- the module ------------------------------------------------------------------------------ */

static PyMethodDef functions[] = {
    {"echo", echo, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

DEFINE_MODULE("loadgen.server._native", functions)
