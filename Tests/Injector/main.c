// inject ROLE NUMBER SIGNAL REPORT PROGRAM [ARG...]
//
// Runs a program and sends SIGNAL to one of its processes as that enters its NUMBER-th system call: to the
// program itself (role 0), the child that it forks (1) or the child of that one (2). SIGKILL takes effect before the
// call, SIGSTOP right after it; others are sent as it returns, since a call may not begin with one pending. With `unlocked`
// in place of a number it is as the first call returns that unlocks a whole file. strace's inject= counts each kind of call
// for itself and each process alike; this counts all calls of one. Writes "hit PID CALL" and "end exited|signaled NUMBER" to the file REPORT.
//
// `inject at …`: see instant.c.
#define _GNU_SOURCE
#include "instant.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 };
static struct { pid_t pid; int role; } known[MOST];
static int known_count;

static void remember(pid_t pid, int role) {
    if (known_count < MOST) known[known_count].pid = pid, known[known_count++].role = role;
}

static int role_of(pid_t pid) {
    for (int i = known_count; i-- > 0;)
        if (known[i].pid == pid) return known[i].role;
    return -1;
}

static int target;
static int done;

static void resume(pid_t pid, int role, int signal) {
    if (role > target) ptrace(PTRACE_DETACH, pid, 0, signal);
    else ptrace(role == target && !done ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, signal);
}

/// Whether a call gives up all locks of a description, as a release does.
static int unlocks_all(pid_t pid, const struct __ptrace_syscall_info *info) {
    struct flock lock;
    struct iovec ours = {&lock, sizeof lock}, theirs = {(void *)info->entry.args[2], sizeof lock};
    return info->entry.nr == SYS_fcntl && info->entry.args[1] == F_OFD_SETLK
        && process_vm_readv(pid, &ours, 1, &theirs, 1, 0) == (ssize_t)sizeof lock && lock.l_type == F_UNLCK
        && lock.l_start == 0 && lock.l_len == 0;
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    if (strcmp(argv[1], "at") == 0) return inject_at_instant(argv + 2);
    target = atoi(argv[1]);
    int at_unlock = strcmp(argv[2], "unlocked") == 0;
    long number = atol(argv[2]), count = 0, call = -1;
    pid_t returning = 0;
    int signal = atoi(argv[3]);
    int report = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    pid_t front = fork();
    if (front == 0) {
        raise(SIGSTOP);
        execvp(argv[5], argv + 5);
        _exit(127);
    }
    int status;
    waitpid(front, &status, WUNTRACED);
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE
        | PTRACE_O_TRACEEXEC;
    if (report < 0 || ptrace(PTRACE_SEIZE, front, 0, options) != 0) {
        perror("inject");
        kill(front, SIGKILL);
        return 2;
    }
    remember(front, 0);
    kill(front, SIGCONT);
    int executed = 0;
    pid_t early = 0;  // a child that stopped before we heard of it
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0 && errno == EINTR) continue;
        if (pid < 0) return 2;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid != front) continue;
            if (WIFEXITED(status)) dprintf(report, "end exited %d\n", WEXITSTATUS(status));
            else dprintf(report, "end signaled %d\n", WTERMSIG(status));
            return 0;
        }
        int role = role_of(pid), event = status >> 16, what = WSTOPSIG(status);
        if (role < 0) {
            early = pid;
            continue;
        }
        if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
            unsigned long child = 0;
            ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
            // A thread belongs to its process.
            remember((pid_t)child, event == PTRACE_EVENT_CLONE ? role : role + 1);
            if (early == (pid_t)child) resume(early, role_of(early), 0), early = 0;
            resume(pid, role, 0);
        } else if (event == PTRACE_EVENT_EXEC) {
            // The command is no business of ours once it runs; semq is only then.
            if (role == 2) ptrace(PTRACE_DETACH, pid, 0, 0);
            else executed = 1, resume(pid, role, 0);
        } else if (event == PTRACE_EVENT_STOP) {
            if (what == SIGTRAP) resume(pid, role, 0);
            else ptrace(PTRACE_LISTEN, pid, 0, 0);  // stopped by a signal, and stays so
        } else if (what == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info = {0};
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            int begins = executed && info.op == PTRACE_SYSCALL_INFO_ENTRY && !done
                && (at_unlock ? unlocks_all(pid, &info) : ++count == number);
            if (begins) call = (long)info.entry.nr;
            if (begins && (at_unlock || (signal != SIGKILL && signal != SIGSTOP))) returning = pid, resume(pid, role, 0);
            else if (begins || (pid == returning && !done)) {
                done = 1;
                dprintf(report, "hit %d %ld\n", pid, call);
                kill(pid, signal);
                ptrace(PTRACE_DETACH, pid, 0, 0);
            } else {
                resume(pid, role, 0);
            }
        } else {
            resume(pid, role, event == 0 ? what : 0);
        }
    }
}
