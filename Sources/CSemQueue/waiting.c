#define _GNU_SOURCE
#include "CSemQueue.h"
#include "signals.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    int fd, private_fd;
    int64_t start, length, slot_start, slot_length;
    /// Whether this process sleeps and has no more than its place: only then there is something to give up.
    volatile sig_atomic_t is_allowed;
    const char *volatile tidy;
    volatile sig_atomic_t stopped;
    volatile sig_atomic_t farewell;
    volatile sig_atomic_t orderly, death;
} waiting = {.fd = -1, .private_fd = -1, .farewell = -1};

static void tidy_up(void) {
    const char *text = waiting.tidy;
    if (text && write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void die(int number) {
    if (waiting.orderly && !waiting.death) {
        // Whoever waits is interrupted by this handler; missed, it would sleep on.
        waiting.death = number;
        alarm(1);
        return;
    }
    if (number == SIGALRM) number = waiting.death;
    semq_turn_rescue();
    tidy_up();
    // Where the place is an agent's on another host, it is told; the kernel knows of the others.
    static const char goodbye[] = "goodbye\n";
    if (waiting.farewell >= 0) send(waiting.farewell, goodbye, sizeof goodbye - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    semq_die_of(number);  // the kernel frees the place
}

// fcntl and write are async-signal-safe (POSIX 2.4.3).
static void stop(int number) {
    int saved = errno;
    tidy_up();
    // Outside of the waits the slot may be a permit by now.
    if (waiting.fd >= 0 && waiting.is_allowed) {
        // Locked for reading it is in nobody's way, and alive.
        semq_lock(waiting.fd, SEMQ_READ, waiting.start, waiting.length, false);
        // The kernel may have given us the slot just now; it is not for one who stands still.
        semq_lock(waiting.fd, SEMQ_UNLOCK, waiting.slot_start, waiting.slot_length, false);
        // Or the short read lock that it waited with; whoever locks that place or slot next needs it gone.
        semq_lock(waiting.private_fd, SEMQ_UNLOCK, 0, 0, false);
        waiting.stopped = 1;
    }
    semq_stand_still(number, stop);
    errno = saved;
}

void semq_waiting_begin(void) {
    semq_waiting_allow_stop(false);
    for (int i = 0; i < SEMQ_DEADLY; i++) semq_handle(semq_deadly[i], die);
    semq_handle(SIGTSTP, stop);
}

void semq_waiting_place(
    int fd, int private_fd, int64_t start, int64_t length, int64_t slot_start, int64_t slot_length) {
    waiting.fd = fd;
    waiting.private_fd = private_fd;
    waiting.start = start;
    waiting.length = length;
    waiting.slot_start = slot_start;
    waiting.slot_length = slot_length;
    waiting.stopped = 0;
}

void semq_waiting_end(void) {
    for (int i = 0; i < SEMQ_DEADLY; i++) semq_handle(semq_deadly[i], SIG_DFL);
    semq_handle(SIGTSTP, SIG_DFL);
    waiting.tidy = NULL;
    waiting.fd = waiting.private_fd = -1;
    waiting.farewell = -1;
    if (waiting.orderly) {
        alarm(0);
        semq_handle(SIGALRM, SIG_DFL);
    }
    waiting.orderly = waiting.death = 0;
}

void semq_waiting_orderly(void) {
    waiting.orderly = 1;
    semq_handle(SIGALRM, die);
}

int semq_waiting_death(void) { return waiting.death; }

void semq_waiting_farewell(int fd) { waiting.farewell = fd; }

void semq_waiting_tidy(const char *tidy) { waiting.tidy = tidy; }

bool semq_waiting_was_stopped(void) {
    bool was = waiting.stopped;
    waiting.stopped = 0;
    return was;
}

void semq_waiting_allow_stop(bool allow) {
    int stops[] = {SIGTSTP};
    if (allow) waiting.is_allowed = 1;
    semq_block_signals(stops, 1, !allow);
    if (!allow) waiting.is_allowed = 0;
}
