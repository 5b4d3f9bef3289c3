// clock FILE PROGRAM [ARG...]
//
// Becomes a program that sees, with all that it starts, another wall clock: ahead of the machine's by the number of
// seconds in FILE, which may change at any time. Static programs too, for it is done below the C library: a supervisor,
// no relative of the program, answers the system calls, and hides from each new program the vDSO by which it would
// do without. What is not shifted: times of files, and timers that wait for a moment of the wall clock.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "not tried on this architecture"
#endif
#ifndef SYS_time
#define SYS_time -1
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static int offset_file, listener;

static void fail(const char *what) {
    dprintf(2, "clock: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static long offset(void) {
    static long last;
    char text[32] = "";
    // Empty while it is being written: then the number before still counts.
    if (pread(offset_file, text, sizeof text - 1, 0) > 0) last = atol(text);
    return last;
}

static int put(pid_t pid, uint64_t address, void *data, size_t size) {
    struct iovec from = {data, size}, to = {(void *)address, size};
    return process_vm_writev(pid, &from, 1, &to, 1, 0) == (ssize_t)size;
}

static void answer(struct seccomp_notif *request, struct seccomp_notif_resp *response) {
    struct timespec now;
    uint64_t *arguments = (uint64_t *)request->data.args;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += offset();
    int done = 1;
    if (request->data.nr == SYS_clock_gettime) {
        done = put(request->pid, arguments[1], &now, sizeof now);
    } else if (request->data.nr == SYS_gettimeofday) {
        struct timeval micro = {now.tv_sec, now.tv_nsec / 1000};
        struct timezone zone = {0, 0};
        if (arguments[0]) done = put(request->pid, arguments[0], &micro, sizeof micro);
        if (arguments[1]) done = done && put(request->pid, arguments[1], &zone, sizeof zone);
    } else {
        response->val = now.tv_sec;
        if (arguments[0]) done = put(request->pid, arguments[0], &now.tv_sec, sizeof now.tv_sec);
    }
    if (!done) response->error = -EFAULT;
}

static void *answer_all(void *nothing) {
    for (;;) {
        struct seccomp_notif request = {0};
        struct seccomp_notif_resp response = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) {
            if (errno == EINTR || errno == ENOENT) continue;
            return nothing;
        }
        response.id = request.id;
        answer(&request, &response);
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

// Where the stack of a new program begins: the number of its arguments, these, its environment, then pairs for the
// C library, among them the vDSO's address.
static uint64_t start_of_stack(pid_t pid) {
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return 0;
    text[size] = 0;
    char *field = strrchr(text, ')');
    for (int number = 2; field && number < 28; number++) field = strchr(field + 1, ' ');
    return field ? strtoull(field, NULL, 10) : 0;
}

static long word(pid_t pid, uint64_t address) { return ptrace(PTRACE_PEEKDATA, pid, (void *)address, 0); }

static void hide_vdso(pid_t pid) {
    const unsigned size = sizeof(long);
    uint64_t at = start_of_stack(pid);
    if (!at) return;
    at += (word(pid, at) + 2) * size;
    while (word(pid, at)) at += size;
    for (at += size; word(pid, at) != AT_NULL; at += 2 * size)
        if (word(pid, at) == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, pid, (void *)at, (void *)AT_IGNORE);
}

static void supervise(void) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
        if (pid <= 0 || !WIFSTOPPED(status)) continue;
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_EXEC) hide_vdso(pid);
        if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) ptrace(PTRACE_LISTEN, pid, 0, 0);
        else ptrace(PTRACE_CONT, pid, 0, event ? 0 : signal);
    }
    _exit(0);
}

static void supervisor(int channel, pid_t program) {
    prctl(PR_SET_NAME, "semq-clock");
    setsid();
    for (int number = 0; number < 1024; number++)
        if (number != channel && number != offset_file) close(number);
    open("/dev/null", O_RDWR);
    dup(0);
    dup(0);
    int theirs;
    if (read(channel, &theirs, sizeof theirs) != sizeof theirs) _exit(1);
    long options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE
        | PTRACE_O_EXITKILL;
    int handle = syscall(SYS_pidfd_open, program, 0);
    listener = syscall(SYS_pidfd_getfd, handle, theirs, 0);
    int error = listener < 0 || ptrace(PTRACE_SEIZE, program, 0, options) != 0 ? errno : 0;
    pthread_t thread;
    if (!error) error = pthread_create(&thread, NULL, answer_all, NULL);
    if (write(channel, &error, sizeof error) != sizeof error || error) _exit(1);
    close(channel);
    close(handle);
    supervise();
}

static int filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_gettimeofday, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)SYS_time, 5, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME_COARSE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    const unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (geteuid() != 0) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int made = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    return made >= 0 ? made : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    offset_file = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (offset_file < 0) fail(argv[1]);
    int channel[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) fail("socketpair");
    pid_t self = getpid(), between = fork();
    if (between == 0) {
        if (fork() == 0) supervisor(channel[1], self);
        _exit(0);
    }
    close(channel[1]);
    waitpid(between, NULL, 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    listener = filter();
    if (listener < 0) fail("seccomp");
    int error = EPIPE;
    if (write(channel[0], &listener, sizeof listener) < 0) fail("its supervisor");
    if (read(channel[0], &error, sizeof error) < 0 || error) {
        errno = error;
        fail("its supervisor");
    }
    close(listener);
    execvp(argv[2], argv + 2);
    dprintf(2, "clock: %s: %s\n", argv[2], strerror(errno));
    return errno == ENOENT ? 127 : 126;
}
