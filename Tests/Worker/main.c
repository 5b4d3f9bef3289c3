// What runs under a semaphore in the remote tests: says when it came in, that it lives, and when it left.
//
//     SemQueueWorker LOG NAME UNTIL [MANNERS]
//
// UNTIL is a file that it waits for. MANNERS are letters: d a grandchild in a session of its own is left, which
// gives signs of life as well until the command ends in good order; t all of them ignore SIGTERM.
//
// Lines of LOG, each by one call, with nanoseconds of CLOCK_BOOTTIME, which all hosts of a lab share:
//
//     in NAME TIME SLOT TOKEN
//     alive NAME TIME
//     out NAME TIME
//
// LOG.in.NAME is there from the entry on.

#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int log_file;
static const char *name;

static void note(const char *what, const char *more) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    char line[256];
    int length = snprintf(line, sizeof line, "%s %s %" PRId64 "%s\n", what, name,
                          (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, more);
    if (write(log_file, line, (size_t)length) != length) _exit(99);
}

static void pause_a_little(void) {
    struct timespec time = {.tv_nsec = 5000000};
    nanosleep(&time, NULL);
}

// Returns a descriptor: a byte written to it ends the grandchild, and only that; it is closed then.
static void leave_grandchild(int *end, int *ended) {
    int ends[2], endeds[2];
    if (pipe(ends) != 0 || pipe(endeds) != 0) _exit(99);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        for (int i = 0; i < 3; i++) close(i);
        close(ends[1]);
        close(endeds[0]);
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        char byte;
        while (read(ends[0], &byte, 1) != 1) {
            note("alive", "");
            pause_a_little();
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(endeds[1]);
    *end = ends[1];
    *ended = endeds[0];
}

int main(int argc, char **argv) {
    if (argc < 4) return 98;
    log_file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (log_file < 0) return 97;
    name = argv[2];
    const char *manners = argc > 4 ? argv[4] : "";
    if (strchr(manners, 't')) signal(SIGTERM, SIG_IGN);
    const char *slot = getenv("SEMQ_SLOT"), *token = getenv("SEMQ_TOKEN");
    // With several permits there is a line for each.
    char more[80];
    snprintf(more, sizeof more, " %d %lld", slot ? atoi(slot) : -1, token ? atoll(token) : -1);
    note("in", more);
    char sign[4096];
    snprintf(sign, sizeof sign, "%s.in.%s", argv[1], name);
    close(open(sign, O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
    int end = -1, ended = -1;
    if (strchr(manners, 'd')) leave_grandchild(&end, &ended);
    while (access(argv[3], F_OK) != 0) {
        note("alive", "");
        pause_a_little();
    }
    if (end >= 0) {
        char byte = 1;
        if (write(end, &byte, 1) != 1) return 96;
        while (read(ended, &byte, 1) > 0) {}
    }
    note("out", "");
    return 0;
}
