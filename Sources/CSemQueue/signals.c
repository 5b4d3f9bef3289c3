#include "signals.h"

#include <stddef.h>
#include <unistd.h>

const int semq_deadly[SEMQ_DEADLY] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

void semq_handle(int number, void (*handler)(int)) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_IGN) return;
    action = (struct sigaction){.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void semq_die_of(int number) {
    // The first process of a pid namespace, as in a container, isn't ended by any of its default actions.
    if (getpid() == 1) _exit(128 + number);
    signal(number, SIG_DFL);
    raise(number);
}

void semq_stand_still(int number, void (*handler)(int)) {
    signal(number, SIG_DFL);
    raise(number);
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, &before);  // stops here
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    semq_handle(number, handler);
}
