#define _GNU_SOURCE
#include "CSemQueue.h"

#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

// A keeper is a subreaper between us and a program that carries a link. Whatever that leaves is the keeper's, however it
// hides: a process that calls itself by another name writes over its environment too, so that no mark is found in it.
struct keeper {
    atomic_int is_taken;
    // Which process it is, for good.
    atomic_int pid;
    _Atomic uint64_t start;
    atomic_int program, failure, status;
    atomic_int phase;
};

enum { NOT_STARTED, STARTED, ENDED };
enum { MOST = 256 };

// Shared with all that are forked off: `semq` knows those of a guardian that was killed.
static struct keeper *keepers;
static int forked_by;

void semq_keepers_prepare(void) {
    if (keepers) return;
    void *memory = mmap(NULL, MOST * sizeof *keepers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) keepers = memory;
}

void semq_keepers_forked_by(int pid) { forked_by = pid; }

bool semq_is_keeper(int pid) {
    for (int place = 0; keepers && place < MOST; place++) {
        struct keeper *keeper = &keepers[place];
        if (keeper->is_taken && keeper->pid == pid && semq_process_start(pid) == keeper->start) return true;
    }
    return false;
}

#ifdef __linux__
static void close_all(void) {
    if (syscall(SYS_close_range, 0, ~0u, 0) == 0) return;
    struct rlimit limit;
    int most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < 65536 ? (int)limit.rlim_max : 65536;
    for (int fd = 0; fd < most; fd++) close(fd);
}

// Returns the program, or 0 once it has ended. Does not return where nobody is left.
static int reap(struct keeper *self, int program) {
    while (true) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG) != 0) _exit(0);
        if (info.si_pid == 0) return program;
        // The number is its own, and its group's, until it is reaped.
        if (info.si_pid == program) kill(-program, SIGKILL);
        int status = 0;
        waitpid(info.si_pid, &status, 0);
        if (info.si_pid != program) continue;
        self->status = status;
        self->phase = ENDED;
        program = 0;
    }
}

// Only with what is safe in a signal handler: other threads had locks when this process was forked.
static void keep(struct keeper *self, const struct semq_keeper_order *order, int owner) {
    int front = forked_by;
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    // Comes for the end of the thread that has forked us too, and again for that of whoever is our parent then.
    prctl(PR_SET_PDEATHSIG, SIGUSR2, 0, 0, 0);
    self->start = semq_process_start(getpid());
    self->pid = getpid();
    int program = 0;
    signal(SIGCHLD, SIG_DFL);
    self->failure = order->spawn(order, &program);
    self->program = program;
    close_all();
    if (self->failure == 0) setsid();
    prctl(PR_SET_NAME, "semq-keeper", 0, 0, 0);
    self->phase = STARTED;
    if (self->failure != 0) _exit(127);
    sigset_t heard;
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, SIGCONT);
    sigaddset(&heard, SIGUSR1);
    sigaddset(&heard, SIGUSR2);
    while (true) {
        program = reap(self, program);
        int parent = getppid();
        // Nobody is left whose work it could be taken for.
        if (parent != owner && (front == 0 || parent != front)) _exit(0);
        int heard_of = sigwaitinfo(&heard, NULL);
        if (program > 0 && heard_of == SIGUSR1) kill(-program, SIGKILL);
        if (program > 0 && heard_of == SIGCONT) kill(program, SIGCONT);
    }
}
#endif

int semq_keeper_start(const struct semq_keeper_order *order, struct semq_link *link) {
#ifdef __linux__
    semq_keepers_prepare();
    int place = 0;
    while (keepers && place < MOST && atomic_exchange(&keepers[place].is_taken, 1)) place++;
    if (!keepers || place == MOST) return -1;
    struct keeper *keeper = &keepers[place];
    keeper->pid = 0;
    keeper->phase = NOT_STARTED;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int owner = getpid();
    pid_t child = fork();
    if (child == 0) {
        keep(keeper, order, owner);
        _exit(127);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (child < 0) {
        keeper->is_taken = 0;
        return -1;
    }
    // Known from here on, with whatever it starts.
    keeper->start = semq_process_start(child);
    keeper->pid = child;
    // Its program is started within a millisecond or so, unless that lies where nothing can be read just now.
    while (keeper->phase == NOT_STARTED) {
        siginfo_t info = {0};
        int result = waitid(P_PID, (id_t)child, &info, WEXITED | WSTOPPED | WNOWAIT | WNOHANG);
        if (result != 0 && errno == ECHILD) break;
        if (result == 0 && info.si_pid == child && info.si_code != CLD_STOPPED) break;
        // It stands still with the group that it hasn't left yet.
        if (result == 0 && info.si_pid == child) kill(child, SIGCONT);
        usleep(50);
    }
    int failure = keeper->phase == NOT_STARTED ? EAGAIN : keeper->failure;
    if (failure) {
        waitpid(child, NULL, 0);
        keeper->is_taken = 0;
        return failure == EAGAIN || failure == ENOMEM ? -1 : failure;
    }
    *link = (struct semq_link){.pid = keeper->program, .keeper = child, .place = place};
    return 0;
#else
    (void)order, (void)link;
    return -1;
#endif
}

int semq_keeper_end(const struct semq_link *link, int *status, bool *is_gone) {
    struct keeper *keeper = &keepers[link->place];
    *is_gone = waitpid(link->keeper, NULL, WNOHANG) != 0;
    int result = keeper->phase == ENDED ? 1 : *is_gone ? -1 : 0;
    // It was killed, and the program is an unreaped child of ours since.
    if (result < 0 && keeper->program > 0) kill(-keeper->program, SIGKILL);
    if (result > 0) *status = keeper->status;
    if (*is_gone) keeper->is_taken = 0;
    return result;
}
