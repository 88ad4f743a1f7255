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

#include "_native.h"

#define FUNCTION(name, function) {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
#ifdef __linux__
    FUNCTION("wait_epoll", wait_epoll),
#endif
#ifdef HAS_PPOLL
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

DEFINE_MODULE("loadgen.engine._native", functions)
