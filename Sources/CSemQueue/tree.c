#define _GNU_SOURCE
#include "CSemQueue.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

uint64_t semq_process_start(int pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    if (count <= 0) return 0;
    text[count] = 0;
    // The name may hold anything; behind it the start is the 20th field.
    char *field = strrchr(text, ')');
    for (int i = 0; field && i < 20; i++) field = strchr(field + 1, ' ');
    return field ? strtoull(field + 1, NULL, 10) : 0;
}

int semq_signal_process(int pid, uint64_t start, int signal) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno != ENOSYS && errno != EPERM && errno != EMFILE && errno != ENFILE) return errno;
        // Older kernels, or nothing to hold it by: a moment is left in which the number may become another's.
        if (start && semq_process_start(pid) != start) return ESRCH;
        return kill(pid, signal) == 0 ? 0 : errno;
    }
    int error = 0;
    // What the number means from here on it means as long as the descriptor is open.
    if (start && semq_process_start(pid) != start) error = ESRCH;
    else if (syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) != 0) error = errno;
    if (error == ENOSYS || (error == EPERM && kill(pid, 0) == 0)) error = kill(pid, signal) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static bool is_among(int pid, const int *pids, int count) {
    for (int i = 0; i < count; i++)
        if (pids[i] == pid) return true;
    return false;
}

// Orphans are handed to the subreaper's first thread; what other threads have started are no orphans.
static ssize_t read_children(int parent, char *text, size_t room) {
    char path[64];
    // Another's /proc has no `self` for us, and our number there is somebody else's.
    if (parent == getpid()) snprintf(path, sizeof path, "/proc/self/task/%d/children", parent);
    else snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    size_t total = 0;
    ssize_t count;
    while (total < room - 1 && (count = read(fd, text + total, room - 1 - total)) > 0) total += (size_t)count;
    close(fd);
    // Thousands: the last number may be half of one, which is another process's. Each is followed by a space.
    while (total > 0 && text[total - 1] != ' ') total--;
    text[total] = 0;
    return (ssize_t)total;
}

int semq_children(int parent, int *pids, int room) {
    char text[1 << 14];
    if (read_children(parent, text, sizeof text) < 0) return -1;
    int found = 0;
    for (char *next = text, *end; found < room; next = end) {
        int pid = (int)strtol(next, &end, 10);
        if (end == next) break;
        pids[found++] = pid;
    }
    return found;
}

int semq_kill_children(const int *spared, int count, int kept) {
    enum { MOST = 4096 };
    int pids[MOST], outlive = 0, found = semq_children(getpid(), pids, MOST);
    for (int i = 0; i < found; i++) {
        // Our own child: its number is its own until it is reaped.
        if (is_among(pids[i], spared, count) || kill(pids[i], SIGKILL) != 0 || pids[i] == kept) continue;
        siginfo_t info = {0};
        outlive += waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0;
    }
    return found < 0 ? -1 : outlive;
}

int semq_reap_children(const int *spared, int count, int kept) {
    enum { MOST = 4096 };
    int pids[MOST], reaped = 0, found = semq_children(getpid(), pids, MOST);
    for (int i = 0; i < found; i++) {
        if (pids[i] == kept || is_among(pids[i], spared, count)) continue;
        siginfo_t info = {0};
        reaped += waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0;
    }
    return reaped;
}

// Who has a signal before it can't fork any more: fork(2) begins anew, and the signal comes first.
void semq_kill_below(int pid, int session) {
    enum { MOST = 256 };
    int pids[MOST], found = semq_children(pid, pids, MOST);
    for (int i = 0; i < found; i++) {
        if (getsid(pids[i]) != session || kill(pids[i], SIGSTOP) != 0) continue;
        semq_kill_below(pids[i], session);
        kill(pids[i], SIGKILL);
    }
}
