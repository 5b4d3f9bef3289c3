#include "CSemQueue.h"
#include "signals.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void show(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) return;
}

static void enter(void) {
    // Not over what somebody else does in the foreground: stops here until it is ours.
    pid_t group = tcgetpgrp(STDOUT_FILENO);
    if (group >= 0 && group != getpgrp()) raise(SIGTTOU);
    show("\033[?1049h\033[H");
}

static void leave(void) { show("\033[?1049l"); }

static void die(int number) {
    leave();
    semq_die_of(number);
}

static void stop(int number) {
    int saved = errno;
    leave();
    semq_stand_still(number, stop);
    enter();
    errno = saved;
}

void semq_screen_begin(void) {
    // First, so that a signal right behind it finds them.
    for (int i = 0; i < SEMQ_DEADLY; i++) semq_handle(semq_deadly[i], die);
    semq_handle(SIGTSTP, stop);
    enter();
}

void semq_screen_end(void) {
    leave();
    for (int i = 0; i < SEMQ_DEADLY; i++) semq_handle(semq_deadly[i], SIG_DFL);
    semq_handle(SIGTSTP, SIG_DFL);
}
