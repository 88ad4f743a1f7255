/* What the C modules have in common: their interface, arguments, the clock, time stamps.

   To be included first, behind the feature macros: it includes Python.h, with the limited API. */

#ifndef LOADGEN_NATIVE_H
#define LOADGEN_NATIVE_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

#ifndef KERNEL /* bench replaces the system calls, to measure what is left without them */
#define KERNEL(call) call
#endif

/* ---- the interface --------------------------------------------------------------------------- */

#ifndef LOADGEN_INTERFACE
#define LOADGEN_INTERFACE 1 /* as in native_modules.py, which says when it is to be raised */
#endif

static inline int
add_interface(PyObject *module)
{
    return PyModule_AddIntConstant(module, "INTERFACE", LOADGEN_INTERFACE);
}

/* Defines a module of that name, with those functions, and with its interface. */
#define DEFINE_MODULE(name, functions)                                                         \
    static PyModuleDef_Slot slots_of_module[] = {{Py_mod_exec, add_interface}, {0, NULL}};      \
    static struct PyModuleDef definition = {                                                   \
        PyModuleDef_HEAD_INIT,                                                                 \
        .m_name = name,                                                                        \
        .m_methods = functions,                                                                \
        .m_slots = slots_of_module,                                                            \
    };                                                                                         \
    PyMODINIT_FUNC PyInit__native(void)                                                        \
    {                                                                                          \
        return PyModuleDef_Init(&definition);                                                  \
    }

/* ---- arguments ------------------------------------------------------------------------------- */

typedef struct {
    Py_buffer view;
    int64_t *at;
    Py_ssize_t length; /* in integers */
} Integers;

static inline int
open_integers(PyObject *from, Integers *integers)
{
    if (PyObject_GetBuffer(from, &integers->view, PyBUF_WRITABLE) < 0)
        return -1;
    /* an empty array may lie anywhere */
    if (integers->view.len % 8 || (integers->view.len && (uintptr_t)integers->view.buf % 8)) {
        PyBuffer_Release(&integers->view);
        PyErr_SetString(PyExc_ValueError, "an array of 64-bit integers is expected");
        return -1;
    }
    integers->at = integers->view.buf;
    integers->length = integers->view.len / 8;
    return 0;
}

/* Opens one buffer after the other; close_all closes those that were opened. */
static inline int
open_all(PyObject *const *from, Integers *integers, int count)
{
    for (int i = 0; i < count; i++)
        if (open_integers(from[i], &integers[i]) < 0) {
            while (i--)
                PyBuffer_Release(&integers[i].view);
            return -1;
        }
    return 0;
}

static inline void
close_all(Integers *integers, int count)
{
    for (int i = 0; i < count; i++)
        PyBuffer_Release(&integers[i].view);
}

static inline int
expect_arguments(const char *name, Py_ssize_t given, Py_ssize_t expected)
{
    if (given == expected)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, expected, given);
    return -1;
}

static inline int
refuse(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return -1;
}

static inline int
expect_tuple(PyObject *from)
{
    if (PyTuple_Check(from))
        return 0;
    PyErr_SetString(PyExc_TypeError, "a tuple is expected");
    return -1;
}

static inline int
integer(PyObject *from, long long *into)
{
    *into = PyLong_AsLongLong(from);
    return *into == -1 && PyErr_Occurred() ? -1 : 0;
}

static inline int
descriptor_of(PyObject *from, int *into)
{
    long long number;
    if (integer(from, &number) < 0)
        return -1;
    if (number < 0 || number > INT_MAX)
        return refuse("a descriptor is expected");
    *into = (int)number;
    return 0;
}

static inline int
bytes_of(PyObject *from, const char **at, Py_ssize_t *length)
{
    char *start;
    if (PyBytes_AsStringAndSize(from, &start, length) < 0)
        return -1;
    *at = start;
    return 0;
}

/* ---- time ------------------------------------------------------------------------------------ */

#define LONGEST_SEND_NS 6000 /* a longer one was interrupted, or waited */
#define NS_PER_S 1000000000LL

static inline int64_t
now_ns(void) /* as time.monotonic_ns */
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Returns when a send took place that began and ended then. */
static inline int64_t
middle_ns(int64_t began_ns, int64_t ended_ns)
{
    int64_t took_ns = ended_ns - began_ns;
    return began_ns + (took_ns < LONGEST_SEND_NS ? took_ns : LONGEST_SEND_NS) / 2;
}

/* ---- time stamps of the kernel --------------------------------------------------------------- */

enum { NOT_ASKED = 0, MISSING = -1, UPPER_BOUND = -2 }; /* instead of a time stamp */

typedef union { /* room for one control message with a stamp, as in timestamps.py */
    char bytes[CMSG_SPACE(16)];
    struct cmsghdr aligned;
} Control;

/* Returns the stamp among the control messages of a read; they are of that type. */
static inline int64_t
stamp_of(struct msghdr *message, int type)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != type
        || header->cmsg_len != CMSG_LEN(16))
        return MISSING;
    int64_t time[2]; /* seconds, nanoseconds */
    memcpy(time, CMSG_DATA(header), sizeof time);
    return time[0] * NS_PER_S + time[1];
}

#endif
