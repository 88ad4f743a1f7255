/* Stands before the sources of loadgen's native engine, and puts system calls that do nothing in the
 * place of the kernel's: see idle.c. */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>

#define KERNEL(call) idle_##call

ssize_t idle_send(int fd, const void *data, size_t length, int flags);
ssize_t idle_recv(int fd, void *into, size_t room, int flags);
ssize_t idle_recvmsg(int fd, struct msghdr *message, int flags);
int idle_epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms);

/* What a turn over streams that does not wait does not call. */
#define idle_ppoll ppoll
#define idle_pselect pselect
#define idle_recvmmsg recvmmsg
