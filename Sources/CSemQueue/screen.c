#include "CSemQueue.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

// Handlers and not blocked signals: other threads may have them unblocked.
static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
enum { DEADLY = sizeof deadly / sizeof deadly[0] };

static void show(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) return;
}

static void enter(void) { show("\033[?1049h\033[H"); }

static void leave(void) { show("\033[?1049l"); }

static void handle(int number, void (*handler)(int)) {
    struct sigaction action;
    // A signal that was ignored when we were started (nohup) stays ignored.
    if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_IGN) return;
    action = (struct sigaction){.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

static void die(int number) {
    leave();
    signal(number, SIG_DFL);
    raise(number);  // delivered on return from this handler
}

static void stop(int number) {
    int saved = errno;
    leave();
    signal(number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    raise(number);
    sigset_t before;
    pthread_sigmask(SIG_UNBLOCK, &set, &before);  // stops here until SIGCONT
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    handle(number, stop);
    enter();
    errno = saved;
}

void semq_screen_begin(void) {
    // First, so that a signal right behind it finds them.
    for (int i = 0; i < DEADLY; i++) handle(deadly[i], die);
    handle(SIGTSTP, stop);
    enter();
}

void semq_screen_end(void) {
    leave();
    for (int i = 0; i < DEADLY; i++) handle(deadly[i], SIG_DFL);
    handle(SIGTSTP, SIG_DFL);
}
