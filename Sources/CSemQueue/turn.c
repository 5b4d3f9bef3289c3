#define _GNU_SOURCE
#include "CSemQueue.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

// Processes of one program share it: the layout is theirs alone.
static struct turn {
    volatile int holder;
    volatile int has_line;
    // What the terminal was like before the holder asked; without one there is nothing to put back.
    volatile int is_noted;
    struct termios before;
} *turn;

static int memory = -1;

static void die(int number) {
    semq_turn_rescue();
    semq_die_of(number);
}

// Those who deal with a signal themselves, or ignore it, go on doing so.
static void catch(int number) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) != 0 || action.sa_handler != SIG_DFL) return;
    action = (struct sigaction){.sa_handler = die, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

bool semq_turn_join(int fd) {
    void *found = mmap(NULL, sizeof *turn, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED) turn = found;
    return found != MAP_FAILED;
}

void semq_turn_make(void) {
    if (turn) return;
    int fd = memfd_create("semq-turn", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof *turn) != 0 || !semq_turn_join(fd)) {
        if (fd >= 0) close(fd);
        return;
    }
    memory = fd;
    for (int i = 0; i < SEMQ_DEADLY; i++) catch(semq_deadly[i]);
}

int semq_turn_memory(void) { return memory; }

int semq_turn_holder(void) { return turn ? turn->holder : 0; }

void semq_turn_line(bool is_there) {
    if (turn) turn->has_line = is_there;
}

static int terminal(void) { return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); }

void semq_turn_begin(int pid) {
    if (!turn) return;
    int fd = terminal();
    turn->is_noted = fd >= 0 && tcgetattr(fd, &turn->before) == 0;
    static const char clear[] = "\r\033[2K";
    if (fd >= 0 && turn->has_line && write(fd, clear, sizeof clear - 1) > 0) turn->has_line = 0;
    if (fd >= 0) close(fd);
    turn->holder = pid;
}

void semq_turn_end(int pid) {
    if (turn && turn->holder == pid) turn->holder = 0;
}

// Of POSIX's async-signal-safe functions alone, up to the end of the file.
void semq_turn_restore(int pid) {
    if (!turn || turn->holder != pid) return;
    int fd = turn->is_noted ? terminal() : -1;
    struct termios now;
    if (fd >= 0 && tcgetattr(fd, &now) == 0) {
        // In the background it is another's: the shell has put it back, and would stop us.
        bool is_ours = tcgetpgrp(fd) == getpgrp();
        if (is_ours && (now.c_lflag != turn->before.c_lflag || now.c_iflag != turn->before.c_iflag)) {
            // Half a passphrase is not for whoever reads next.
            tcflush(fd, TCIFLUSH);
            tcsetattr(fd, TCSANOW, &turn->before);
            if (write(fd, "\n", 1) < 0) errno = 0;
        }
    }
    if (fd >= 0) close(fd);
    turn->holder = 0;
}

void semq_turn_rescue(void) {
    int pid = semq_turn_holder();
    if (pid == 0) return;
    int saved = errno;
    if (pid != getpid()) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    }
    semq_turn_restore(pid);
    errno = saved;
}
