#define _GNU_SOURCE
#include "CSemQueue.h"

#include <errno.h>
#include <fcntl.h>

#ifdef F_OFD_SETLK

static struct flock description_lock(int type, int64_t start, int64_t length) {
    // l_pid must be 0 for the F_OFD commands.
    return (struct flock){
        .l_type = type == SEMQ_READ ? F_RDLCK : type == SEMQ_WRITE ? F_WRLCK : F_UNLCK,
        .l_whence = SEEK_SET,
        .l_start = start,
        .l_len = length,
        .l_pid = 0,
    };
}

int semq_lock(int fd, int type, int64_t start, int64_t length, bool wait) {
    struct flock lock = description_lock(type, start, length);
    if (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0) return 0;
    return errno == EACCES ? EAGAIN : errno;
}

int semq_lock_query(int fd, int type, int64_t start, int64_t length, int64_t *found_start) {
    struct flock lock = description_lock(type, start, length);
    *found_start = -1;
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return errno;
    if (lock.l_type != F_UNLCK) *found_start = lock.l_start < start ? start : lock.l_start;
    return 0;
}

#else  // macOS has no such locks with waiting: local queues are refused there.

int semq_lock(int fd, int type, int64_t start, int64_t length, bool wait) {
    (void)fd, (void)type, (void)start, (void)length, (void)wait;
    return ENOTSUP;
}

int semq_lock_query(int fd, int type, int64_t start, int64_t length, int64_t *found_start) {
    (void)fd, (void)type, (void)start, (void)length;
    *found_start = -1;
    return ENOTSUP;
}

#endif
