// inject at INSTANT SIGNAL REPORT PROGRAM [ARG...]
//
// Runs a program and sends SIGNAL to it, as kill(2) does, at an instant of its dealings with a queue file:
//
//   claimed      one of its threads has locked a slot without waiting for it (decided under the mutex)
//   given        it has been given a slot that it waited for, and asks for the mutex
//   joined       it has locked its ticket to wait with, under the mutex
//   asks         it asks for the mutex for the first time
//
// With the signal 0 it stands still there, and nothing else of it, until there is a file REPORT.go. Writes "hit PID",
// "fork THREADS" for each fork(2) with the number of threads that there were, and "end exited|signaled NUMBER" to the
// file REPORT. What the program forks is let alone.
#define _GNU_SOURCE
#include "instant.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// As in LockSpace.
static const int64_t mutex = (int64_t)1 << 60, slots = ((int64_t)1 << 60) + (1 << 20), slots_end = slots + 2048;
static const int64_t tickets = (int64_t)1 << 61, tickets_end = (int64_t)1 << 62;

enum { MOST = 64 };
static pid_t front, threads[MOST], early[MOST];
static int thread_count, early_count;
static bool done, was_given;
static int report;

/// The call that a thread is in, if it locks something.
static struct { pid_t pid; int command; struct flock lock; } calls[MOST];

static bool is_thread(pid_t pid) {
    for (int i = 0; i < thread_count; i++) if (threads[i] == pid) return true;
    return false;
}

static void resume(pid_t pid, int signal) {
    if (!is_thread(pid)) ptrace(PTRACE_DETACH, pid, 0, signal);
    else ptrace(done ? PTRACE_CONT : PTRACE_SYSCALL, pid, 0, signal);
}

/// Whether a thread is on its way out: who has joined it may go on before the kernel has done away with it.
static bool is_exiting(const char *thread) {
    enum { PF_EXITING = 4 };  // of the kernel's <linux/sched.h>
    char path[300], text[1024], state = 'X';
    unsigned flags = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", front, thread);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[length] = 0;
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2) return true;
    return state == 'Z' || state == 'X' || (flags & PF_EXITING) != 0;
}

static int count_threads(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", front);
    DIR *folder = opendir(path);
    int count = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.' && !is_exiting(entry->d_name);
    if (folder) closedir(folder);
    return count;
}

static void await_go(const char *path) {
    char go[4096];
    snprintf(go, sizeof go, "%s.go", path);
    // A tracee that is killed here can't be waited for; whoever tests does it a minute at most.
    for (int i = 0; i < 60000 && access(go, F_OK) != 0; i++) usleep(1000);
}

static bool is_slot(const struct flock *lock) { return lock->l_start >= slots && lock->l_start < slots_end; }

static bool is_ticket(const struct flock *lock) { return lock->l_start >= tickets && lock->l_start < tickets_end; }

/// Whether this stop at a system call is the instant.
static bool is_instant(pid_t pid, const char *instant) {
    struct __ptrace_syscall_info info = {0};
    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    int index = 0;
    while (index < MOST - 1 && calls[index].pid != pid && calls[index].pid != 0) index++;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        calls[index].pid = pid;
        calls[index].command = 0;
        if (info.entry.nr != SYS_fcntl) return false;
        int command = (int)info.entry.args[1];
        if (command != F_OFD_SETLK && command != F_OFD_SETLKW) return false;
        struct iovec ours = {&calls[index].lock, sizeof calls[index].lock};
        struct iovec theirs = {(void *)info.entry.args[2], sizeof calls[index].lock};
        if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) != (ssize_t)sizeof calls[index].lock) return false;
        calls[index].command = command;
        if (calls[index].lock.l_start != mutex || calls[index].lock.l_type != F_WRLCK) return false;
        return (strcmp(instant, "given") == 0 && was_given) || strcmp(instant, "asks") == 0;
    }
    if (info.op != PTRACE_SYSCALL_INFO_EXIT || calls[index].pid != pid) return false;
    const struct flock *lock = &calls[index].lock;
    int command = calls[index].command;
    calls[index].command = 0;
    if (command == 0 || info.exit.rval != 0 || lock->l_type != F_WRLCK) return false;
    if (is_ticket(lock)) return strcmp(instant, "joined") == 0;
    if (!is_slot(lock)) return false;
    if (command == F_OFD_SETLKW) was_given = true;
    return strcmp(instant, "claimed") == 0 && command == F_OFD_SETLK;
}

int inject_at_instant(char **argv) {
    const char *instant = argv[0], *report_path = argv[2];
    int signal = atoi(argv[1]);
    report = open(report_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    front = fork();
    if (front == 0) {
        raise(SIGSTOP);
        execvp(argv[3], argv + 3);
        _exit(127);
    }
    int status;
    waitpid(front, &status, WUNTRACED);
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    if (report < 0 || ptrace(PTRACE_SEIZE, front, 0, options) != 0) {
        perror("inject");
        kill(front, SIGKILL);
        return 2;
    }
    threads[thread_count++] = front;
    kill(front, SIGCONT);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) return 2;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            for (int i = 0; i < thread_count; i++) if (threads[i] == pid) threads[i] = threads[--thread_count];
            if (pid != front) continue;
            if (WIFEXITED(status)) dprintf(report, "end exited %d\n", WEXITSTATUS(status));
            else dprintf(report, "end signaled %d\n", WTERMSIG(status));
            return 0;
        }
        int event = status >> 16, what = WSTOPSIG(status);
        if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE) {
            unsigned long child = 0;
            ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
            if (event == PTRACE_EVENT_FORK) dprintf(report, "fork %d\n", count_threads());
            else if (thread_count < MOST) threads[thread_count++] = (pid_t)child;
            for (int i = 0; i < early_count; i++)
                if (early[i] == (pid_t)child) early[i] = early[--early_count], resume((pid_t)child, 0);
            resume(pid, 0);
        } else if (!is_thread(pid) && event == PTRACE_EVENT_STOP && early_count < MOST) {
            // A child's, which is let go, or a thread's first stop, of which its creator's event may not have told yet.
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/task/%d", front, pid);
            if (access(path, F_OK) == 0) early[early_count++] = pid;
            else resume(pid, 0);
        } else if (event == PTRACE_EVENT_STOP) {
            if (what == SIGTRAP) resume(pid, 0);
            else ptrace(PTRACE_LISTEN, pid, 0, 0);  // stopped by a signal, and stays so
        } else if (what == (SIGTRAP | 0x80)) {
            if (!done && is_instant(pid, instant)) {
                done = true;
                dprintf(report, "hit %d\n", front);
                if (signal == 0) await_go(report_path);
                else kill(front, signal);
            }
            resume(pid, 0);
        } else {
            resume(pid, event == 0 ? what : 0);
        }
    }
}
