// What runs under the semaphore in a torture run: an unlocked read-modify-write with a deliberate gap
// between read and write, logged by a monotonic clock.
//
//     worker FOLDER JOB SECTION-MICROSECONDS DAEMON-MILLISECONDS [PLACE DEAF]
//     worker FOLDER JOB      gives signs of life in the name of that job for some time, whatever becomes of it
//
// Each line of FOLDER/log is written by one call, so that a kill never leaves half a line:
//
//     E JOB SLOT TICKET TOKEN PID PARENT NANOSECONDS VALUE CLASH BEATER    inside, VALUE read from the slot's counter
//     X JOB NANOSECONDS WROTE                                              about to leave, VALUE + 1 written or not
//
// CLASH is 1 where a living process of another worker's had the slot's witness locked.
//
// With a PLACE, a number that is added to all process numbers so that they differ from host to host, it gives signs
// of life for as long as it is inside, and so does a process that has left its session and its parent (BEATER): their
// last moments stand in FOLDER/signs. It ends that process itself before it leaves in good order; in bad order
// somebody else must. A DEAF one doesn't heed SIGTERM.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64, WITNESS = 900, MOST_JOBS = 1 << 18 };

// Of one job: the worker's last sign of life and its beater's, and until when it is to stay inside at least.
struct signs {
    int64_t worker, beater, stay, unused;
};

static volatile sig_atomic_t terminated;
static int64_t place;

static void on_term(int number) {
    (void)number;
    terminated = 1;
}

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(99);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void sleep_until(int64_t moment) {
    struct timespec until = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
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
    int descriptor = open(path, flags | O_CLOEXEC, 0666);
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

static struct signs *signs_of(const char *folder, int job) {
    if (job < 0 || job >= MOST_JOBS) exit(96);
    int file = open_in(folder, "signs", O_RDWR);
    struct signs *all = mmap(NULL, MOST_JOBS * sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (all == MAP_FAILED) fail("mmap");
    close(file);
    return &all[job];
}

static _Noreturn void beat(struct signs *signs) {
    signal(SIGTERM, SIG_IGN);
    prctl(PR_SET_NAME, "torture-beater");
    for (;;) {
        signs->beater = now();
        usleep(1000);
    }
}

// Born of a process that ends at once, in a session of its own, deaf; has the witness too.
static pid_t start_beater(struct signs *signs) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
    pid_t between = fork();
    if (between < 0) fail("fork");
    if (between == 0) {
        setsid();
        pid_t beater = fork();
        if (beater != 0) {
            if (write(ends[1], &beater, sizeof beater) != sizeof beater) _exit(1);
            _exit(0);
        }
        beat(signs);
    }
    pid_t beater = -1;
    if (read(ends[0], &beater, sizeof beater) != sizeof beater || beater < 0) fail("beater");
    close(ends[0]);
    close(ends[1]);
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR) {}
    return beater;
}

static void end_beater(pid_t beater) {
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, beater, 0), .events = POLLIN};
    if (end.fd < 0) return;
    kill(beater, SIGKILL);
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {}
    close(end.fd);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 5 && argc != 7) return 98;
    if (argc == 3) {
        alarm(20);
        beat(signs_of(argv[1], atoi(argv[2])));
    }
    struct sigaction action = {.sa_handler = on_term};
    if (argc == 7 && strcmp(argv[6], "1") == 0) action.sa_handler = SIG_IGN;
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
    volatile struct signs *signs = NULL;
    if (argc == 7) {
        place = atoll(argv[5]);
        signs = signs_of(folder, atoi(argv[2]));
    }

    int64_t entry = now();
    bool clash = !lock_witness(folder, slot);
    int64_t value = counters[slot];
    pid_t beater = signs != NULL ? start_beater((struct signs *)signs) : 0;
    char line[512];
    int length = snprintf(line, sizeof line, "E %s %d %lld %lld %lld %lld %lld %lld %d %lld\n", argv[2], slot,
                          (long long)variable("SEMQ_TICKET"), (long long)variable("SEMQ_TOKEN"),
                          (long long)(place + getpid()), (long long)(place + getppid()), (long long)entry,
                          (long long)value, clash, beater > 0 ? (long long)(place + beater) : 0);
    if (write(log, line, (size_t)length) != length) fail("log");

    int64_t end = entry + section;
    for (int64_t at; !terminated && (at = now()) < end;) {
        if (signs == NULL) {
            sleep_until(end);
            continue;
        }
        signs->worker = at;
        if (end < signs->stay) end = signs->stay;
        sleep_until(at + 1000000 < end ? at + 1000000 : end);
    }
    bool wrote = !terminated;
    if (wrote) counters[slot] = value + 1;
    // Whoever is told to leave leaves its beater behind: that is what the guardian has to find.
    if (wrote && beater > 0) end_beater(beater);

    length = snprintf(line, sizeof line, "X %s %lld %d\n", argv[2], (long long)now(), wrote);
    if (write(log, line, (size_t)length) != length) fail("log");
    if (!wrote) {
        signal(SIGTERM, SIG_DFL);
        raise(SIGTERM);
    }
    return 0;
}
