// What runs under the semaphore in a torture run: an unlocked read-modify-write with a deliberate gap
// between read and write, logged by a monotonic clock.
//
//     worker FOLDER JOB SECTION-MICROSECONDS DAEMON-MILLISECONDS
//
// Each line of FOLDER/log is written by one call, so that a kill never leaves half a line:
//
//     E JOB SLOT TICKET TOKEN PID PARENT NANOSECONDS VALUE CLASH    inside, VALUE read from the slot's counter
//     X JOB NANOSECONDS WROTE                                       about to leave, VALUE + 1 written or not
//
// CLASH is 1 where another living worker of the same slot had the slot's witness locked.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64, WITNESS = 900 };

static volatile sig_atomic_t terminated;

static void on_term(int number) {
    (void)number;
    terminated = 1;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(99);
}

static int64_t variable(const char *name) {
    const char *text = getenv(name);
    if (text == NULL) fail(name);
    return strtoll(text, NULL, 10);
}

// A daemon in the old way: a session of its own, every inherited descriptor kept open. Forked before
// the witness is locked, so that it can't hold that.
static void leave_daemon(int milliseconds) {
    if (milliseconds == 0 || fork() != 0) return;
    setsid();
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_NAME, "torture-daemon");
    usleep((useconds_t)milliseconds * 1000);
    _exit(0);
}

static int open_in(const char *folder, const char *name, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int descriptor = open(path, flags | O_CLOEXEC, 0600);
    if (descriptor < 0) fail(path);
    return descriptor;
}

// The kernel closes the descriptors of a dying process from the highest down: this one goes before
// those of the semaphore, so a lock that is handed on in good order finds the witness free.
static bool lock_witness(const char *folder, int slot) {
    char name[32];
    snprintf(name, sizeof name, "witness.%d", slot);
    int low = open_in(folder, name, O_RDWR | O_CREAT);
    if (dup3(low, WITNESS, O_CLOEXEC) < 0) fail("dup3");
    close(low);
    return flock(WITNESS, LOCK_EX | LOCK_NB) == 0;
}

int main(int argc, char **argv) {
    if (argc != 5) return 98;
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    const char *folder = argv[1];
    int64_t section = atoll(argv[3]) * 1000;
    int slot = (int)variable("SEMQ_SLOT");
    if (slot < 0 || slot >= SLOTS) return 97;
    leave_daemon(atoi(argv[4]));

    int log = open_in(folder, "log", O_WRONLY | O_APPEND);
    int file = open_in(folder, "counters", O_RDWR);
    volatile int64_t *counters = mmap(NULL, SLOTS * sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED) fail("mmap");

    int64_t entry = now();
    bool clash = !lock_witness(folder, slot);
    int64_t value = counters[slot];
    char line[512];
    int length = snprintf(line, sizeof line, "E %s %d %lld %lld %d %d %lld %lld %d\n", argv[2], slot,
                          (long long)variable("SEMQ_TICKET"), (long long)variable("SEMQ_TOKEN"), getpid(), getppid(),
                          (long long)entry, (long long)value, clash);
    if (write(log, line, (size_t)length) != length) fail("log");

    int64_t end = entry + section;
    while (!terminated && now() < end) {
        struct timespec until = {.tv_sec = end / 1000000000, .tv_nsec = end % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    bool wrote = !terminated;
    if (wrote) counters[slot] = value + 1;

    length = snprintf(line, sizeof line, "X %s %lld %d\n", argv[2], (long long)now(), wrote);
    if (write(log, line, (size_t)length) != length) fail("log");
    if (!wrote) {
        signal(SIGTERM, SIG_DFL);
        raise(SIGTERM);
    }
    return 0;
}
