#define _GNU_SOURCE
#include "CSemQueue.h"

#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#endif

static int argument_count;
static char **argument_values;

static bool backtrace_is_ours;

// Before all other constructors. glibc and dyld hand them the arguments; main's own belong to Swift.
//
// Swift's runtime looks for its crash reporter beside /proc/self/exe in a constructor of its own, and where /proc is
// not mounted it dies of that: told not to, it doesn't look. Elsewhere it is left alone, as this is part of a library.
__attribute__((constructor(101))) static void prepare(int argc, char **argv) {
    argument_count = argc;
    argument_values = argv;
    backtrace_is_ours =
        access("/proc/self/exe", F_OK) != 0 && !getenv("SWIFT_BACKTRACE") && setenv("SWIFT_BACKTRACE", "enable=no,swift-backtrace=/", 1) == 0;
}

void semq_restore_environment(void) {
    if (backtrace_is_ours) unsetenv("SWIFT_BACKTRACE");
}

int semq_argument_count(void) { return argument_count; }

const char *semq_argument(int index) { return argument_values[index]; }

int semq_fork(void) {
    int parent = getpid(), child = fork();
    if (child == 0) semq_keepers_forked_by(parent);
    return child;
}

// After vfork(2) the child shares our memory until it executes: nothing but calls and `failure` is touched.
static int spawn(
    int *pid, const char *program, char *const arguments[], char *const environment[], bool leads, int in, int out, int err,
    int third, const int *ignored, int count) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    volatile int failure = 0;
    pid_t child = vfork();
    if (child == 0) {
        if (leads) setsid();
        for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
        for (int i = 0; i < count; i++) signal(ignored[i], SIG_IGN);
        // Each may stand in another's place: first out of the way of 0 to 3.
        int wanted[] = {in, out, err, third};
        int wants = third < 0 ? 3 : 4;
        for (int i = 0; i < wants; i++) wanted[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, 4);
        for (int i = 0; i < wants; i++) {
            dup2(wanted[i], i);
            fcntl(i, F_SETFL, fcntl(i, F_GETFL) & ~O_NONBLOCK);
        }
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvpe(program, arguments, environment);
        failure = errno;
        _exit(127);
    }
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0) return error;
    if (failure) waitpid(child, NULL, 0);
    *pid = child;
    return failure;
}

int semq_spawn(
    int *pid, const char *program, char *const arguments[], int in, int out, int err, int third, const int *ignored, int count) {
    return spawn(pid, program, arguments, environ, false, in, out, err, third, ignored, count);
}

struct link_order {
    struct semq_keeper_order order;  // the first, so that one is the other
    const char *program;
    char *const *arguments, *const *environment;
    bool leads;
    int in, out, err, third;
    const int *ignored;
    int count;
};

static int spawn_ordered(const struct semq_keeper_order *order, int *pid) {
    const struct link_order *link = (const struct link_order *)order;
    return spawn(
        pid, link->program, link->arguments, link->environment, link->leads, link->in, link->out, link->err, link->third,
        link->ignored, link->count);
}

int semq_spawn_link(
    struct semq_link *link, const char *program, char *const arguments[], const char *mark, bool leads, bool kept, int in,
    int out, int err, int third, const int *ignored, int count) {
    size_t variables = 0, name = strcspn(mark, "=") + 1;
    while (environ[variables]) variables++;
    const char **environment = malloc((variables + 3) * sizeof *environment);
    if (!environment) return ENOMEM;
    size_t next = 0;
    environment[next++] = mark;
    // Below ssh one for a jump host asks in its own right, and where it finds no terminal it would open a window.
    if (leads && !getenv("SSH_ASKPASS_REQUIRE")) environment[next++] = "SSH_ASKPASS_REQUIRE=never";
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, mark, name) != 0) environment[next++] = *variable;
    environment[next] = NULL;
    struct link_order order = {
        .order = {spawn_ordered},
        .program = program,
        .arguments = arguments,
        .environment = (char *const *)environment,
        .leads = leads,
        .in = in,
        .out = out,
        .err = err,
        .third = third,
        .ignored = ignored,
        .count = count};
    int error = kept && leads ? semq_keeper_start(&order.order, link) : -1;
    if (error < 0) {
        *link = (struct semq_link){0};
        error = spawn_ordered(&order.order, &link->pid);
    }
    free(environment);
    return error;
}

void semq_await_end(int pid) {
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) continue;
}

static int child_end(int pid, bool leads, int *status) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) != 0) return -1;
    if (info.si_pid == 0) return 0;
    // The number is its own, and its group's, until it is reaped.
    if (leads) kill(-pid, SIGKILL);
    return waitpid(pid, status, 0) == pid ? 1 : -1;
}

int semq_link_end(const struct semq_link *link, bool leads, int *status, bool *is_gone) {
    if (link->keeper) return semq_keeper_end(link, status, is_gone);
    int result = child_end(link->pid, leads, status);
    *is_gone = result != 0;
    return result;
}

// Whether a process has ended, or has an environment without a single variable.
static bool has_no_environment(int pid) {
    char stat[1024];
    snprintf(stat, sizeof stat, "/proc/%d/stat", pid);
    int fd = open(stat, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return true;
    ssize_t count = read(fd, stat, sizeof stat - 1);
    close(fd);
    if (count <= 0) return true;
    stat[count] = 0;
    char *field = strrchr(stat, ')');  // the end of the second
    if (!field || strchr("ZXx", field[2])) return true;
    for (int number = 2; field && number < 50; number++) field = strchr(field + 1, ' ');
    if (!field) return true;
    // Where it begins and where it ends.
    unsigned long long begin = strtoull(field, &field, 10), end = strtoull(field, NULL, 10);
    return begin == end && end != 0;
}

// -1: there is nothing to read.
static int search_environment(int pid, const char *text) {
    char buffer[8192];
    snprintf(buffer, sizeof buffer, "/proc/%d/environ", pid);
    int fd = open(buffer, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    size_t length = strlen(text), kept = 0;
    int found = -1;
    ssize_t count;
    while (found != 1 && (count = read(fd, buffer + kept, sizeof buffer - kept)) > 0) {
        size_t total = kept + (size_t)count;
        found = memmem(buffer, total, text, length) != NULL;
        kept = total < length ? total : length - 1;
        memmove(buffer, buffer + total - kept, kept);
    }
    close(fd);
    return found;
}

bool semq_environment_has(int pid, const char *text) {
    // On its way into another program a process has no memory for a moment, neither the old one's nor the new one's.
    for (int tries = 0; tries < 1000; tries++) {
        int found = search_environment(pid, text);
        if (found >= 0 || has_no_environment(pid)) return found == 1;
        usleep(100);
    }
    return false;
}

int semq_become_subreaper(void) {
#ifdef __linux__
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 ? 0 : errno;
#else
    return ENOTSUP;
#endif
}

#ifdef __linux__
static bool find_build_id(const char *file, size_t size, char *text, int room) {
    const ElfW(Ehdr) *program = (const void *)file;
    if (size < sizeof *program || memcmp(program->e_ident, ELFMAG, SELFMAG) != 0) return false;
    if (program->e_phoff + (size_t)program->e_phnum * sizeof(ElfW(Phdr)) > size) return false;
    const ElfW(Phdr) *headers = (const void *)(file + program->e_phoff);
    for (int i = 0; i < program->e_phnum; i++) {
        if (headers[i].p_type != PT_NOTE || headers[i].p_offset + headers[i].p_filesz > size) continue;
        const char *note = file + headers[i].p_offset, *end = note + headers[i].p_filesz;
        while (note + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *header = (const void *)note;
            const unsigned char *id = (const unsigned char *)note + sizeof *header + ((header->n_namesz + 3) & ~3u);
            note = (const char *)id + ((header->n_descsz + 3) & ~3u);
            if (header->n_type != NT_GNU_BUILD_ID || note > end || (int)header->n_descsz * 2 >= room) continue;
            for (unsigned j = 0; j < header->n_descsz; j++) snprintf(text + 2 * j, 3, "%02x", id[j]);
            return true;
        }
    }
    return false;
}
#endif

bool semq_build_id(const char *path, char *text, int room) {
    bool found = false;
#ifdef __linux__
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size > 0) {
        void *file = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            found = find_build_id(file, (size_t)info.st_size, text, room);
            munmap(file, (size_t)info.st_size);
        }
    }
    if (fd >= 0) close(fd);
#else
    (void)path, (void)text, (void)room;
#endif
    return found;
}

void semq_set_process_name(const char *name) {
#ifdef __linux__
    prctl(PR_SET_NAME, name, 0, 0, 0);
#else
    (void)name;
#endif
}

static int kind_of(const siginfo_t *info) {
    return info->si_code == CLD_EXITED                                      ? SEMQ_EXITED
           : info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED     ? SEMQ_SIGNALED
           : info->si_code == CLD_CONTINUED                                 ? SEMQ_CONTINUED
                                                                            : SEMQ_STOPPED;
}

bool semq_peek_child(int *pid, int *kind, int *number, bool *childless) {
    siginfo_t info = {0};
    int result = waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT);
    *childless = result != 0 && errno == ECHILD;
    if (result != 0 || info.si_pid == 0) return false;
    *pid = info.si_pid;
    *number = info.si_status;
    *kind = kind_of(&info);
    return true;
}

void semq_reap_child(int pid, int kind) {
    siginfo_t info;
    int what = kind == SEMQ_STOPPED ? WSTOPPED : kind == SEMQ_CONTINUED ? WCONTINUED : WEXITED;
    waitid(P_PID, (id_t)pid, &info, what | WNOHANG);
}

bool semq_take_change(int pid, int *kind, int *number) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WCONTINUED | WNOHANG) != 0 || info.si_pid == 0) return false;
    *number = info.si_status;
    *kind = kind_of(&info);
    return true;
}

static sigset_t set_of(const int *signals, int count) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
    return set;
}

int semq_wait_signal(const int *signals, int count, int64_t timeout, bool *from_process, int *sender) {
    sigset_t set = set_of(signals, count);
    siginfo_t info;
    struct timespec limit = {.tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000};
    int signal = timeout < 0 ? sigwaitinfo(&set, &info) : sigtimedwait(&set, &info, &limit);
    if (signal < 0) return 0;
    *from_process = info.si_code <= 0;  // SI_USER, SI_TKILL, SI_QUEUE; the kernel's codes are above
    *sender = info.si_pid;
    return signal;
}

void semq_signal_main_thread(int signal) {
#ifdef __linux__
    syscall(SYS_tgkill, getpid(), getpid(), signal);
#else
    kill(getpid(), signal);
#endif
}

void semq_block_signals(const int *signals, int count, bool block) {
    sigset_t set = set_of(signals, count);
    pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

bool semq_signal_is_ignored(int signal) {
    struct sigaction action;
    return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

void semq_signal_default(int number, bool ignore) { signal(number, ignore ? SIG_IGN : SIG_DFL); }

void semq_die_by(int number) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigset_t set = set_of(&number, 1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), number);
    _exit(128 + number);
}

int semq_signal_descriptor(const int *signals, int count) {
#ifdef __linux__
    sigset_t set = set_of(signals, count);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
#else
    (void)signals, (void)count;
    return -1;
#endif
}

int semq_look(int folder, const char *path, struct semq_file *file) {
#ifdef __linux__
    struct statx found;
    int flags = *path ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH;
    if (statx(folder, path, flags, STATX_INO | STATX_SIZE | STATX_NLINK, &found) == 0) {
        file->device = makedev(found.stx_dev_major, found.stx_dev_minor);
        file->inode = found.stx_ino;
        file->size = (int64_t)found.stx_size;
        file->links = found.stx_nlink;
        return 0;
    }
    // Older kernels haven't it, and older containers forbid it.
    if (errno != ENOSYS && errno != EPERM) return errno;
#endif
    struct stat info;
    if ((*path ? fstatat(folder, path, &info, AT_SYMLINK_NOFOLLOW) : fstat(folder, &info)) != 0) return errno;
    file->device = (uint64_t)info.st_dev;
    file->inode = info.st_ino;
    file->size = info.st_size;
    file->links = info.st_nlink;
    return 0;
}

int64_t semq_filesystem(int fd) {
#ifdef __linux__
    struct statfs info;
    return fstatfs(fd, &info) == 0 ? (int64_t)info.f_type : 0;
#else
    (void)fd;
    return 0;
#endif
}
