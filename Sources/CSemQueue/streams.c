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

bool semq_is_of_this_user(int connection) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 && credentials.uid == geteuid();
}

int semq_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
