/* What the files of this module offer each other. */

#ifndef LOADGEN_ENGINE_NATIVE_H
#define LOADGEN_ENGINE_NATIVE_H

#include "../net/native.h"

#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) \
    || defined(__DragonFly__)
#define HAS_KQUEUE
#endif
#ifndef __APPLE__
#define HAS_PPOLL
#endif

enum { READ = 1, WRITE = 2 }; /* the events of selectors */

/* _native_waits.c */
PyObject *wait_epoll(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *wait_poll(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *wait_select(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *wait_kqueue(PyObject *module, PyObject *const *args, Py_ssize_t given);

/* _native_receive.c */
PyObject *receive(PyObject *module, PyObject *const *args, Py_ssize_t given);

/* _native_send.c */
PyObject *send_many(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *submit_many(PyObject *module, PyObject *const *args, Py_ssize_t given);

/* _native_datagrams.c */
PyObject *receive_datagrams(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *send_datagrams(PyObject *module, PyObject *const *args, Py_ssize_t given);

#endif
