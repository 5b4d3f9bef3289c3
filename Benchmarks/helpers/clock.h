// Two clocks, and a log whose lines are written with one call each.

#pragma once

#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static inline int64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline int64_t now(void) { return clock_ns(CLOCK_MONOTONIC); }

/// What to subtract from the wall clock to get the monotonic one.
static inline int64_t wall_ahead(void) {
    int64_t before = now();
    int64_t wall = clock_ns(CLOCK_REALTIME);
    return wall - (before + now()) / 2;
}

static inline void log_line(const char *path, const char *format, ...) {
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t)length) != length) _exit(99);
    close(fd);
}

/// The moment of the grant in ns of the monotonic clock, from the fencing token (µs of the wall clock), or 0.
static inline int64_t grant_time(void) {
    const char *token = getenv("SEMQ_TOKEN");
    return token ? atoll(token) * 1000 - wall_ahead() : 0;
}
