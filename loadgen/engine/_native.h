/* What the files of this module offer each other. */

#ifndef LOADGEN_ENGINE_NATIVE_H
#define LOADGEN_ENGINE_NATIVE_H

#include "../net/native.h"

/* _native_datagrams.c */
PyObject *receive_datagrams(PyObject *module, PyObject *const *args, Py_ssize_t given);
PyObject *send_datagrams(PyObject *module, PyObject *const *args, Py_ssize_t given);

#endif
