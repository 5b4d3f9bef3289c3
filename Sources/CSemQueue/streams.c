#define _GNU_SOURCE
#include "CSemQueue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int semq_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : errno; }

int semq_poll(struct pollfd *events, int count, int64_t timeout) {
    struct timespec limit = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    return ppoll(events, (nfds_t)count, &limit, NULL) < 0 ? errno : 0;
}

int semq_accept(int listener) {
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0) return -1;
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 && credentials.uid == geteuid()) return peer;
    close(peer);
    return -1;
}
