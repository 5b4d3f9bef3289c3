#define _GNU_SOURCE
#include "CSemQueue.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int semq_alarm_signal(void) { return SIGURG; }

static void interrupt_only(int signal) { (void)signal; }

void semq_alarm_install(void) {
    struct sigaction action = {.sa_handler = interrupt_only};
    sigemptyset(&action.sa_mask);
    sigaction(SIGURG, &action, NULL);
}

void semq_alarm_unblock(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

#ifdef __linux__

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

int semq_alarm_create(semq_timer *timer) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    timer_t made;
    int error = timer_create(CLOCK_MONOTONIC, &event, &made) == 0 ? 0 : errno;
    if (error == 0) *timer = (semq_timer)made;
    return error;
}

void semq_alarm_set(semq_timer timer, int64_t first, int64_t again) {
    struct itimerspec when = {
        .it_value = {.tv_sec = first / 1000000000, .tv_nsec = first % 1000000000},
        .it_interval = {.tv_sec = again / 1000000000, .tv_nsec = again % 1000000000},
    };
    timer_settime((timer_t)timer, 0, &when, NULL);
}

void semq_alarm_delete(semq_timer timer) { timer_delete((timer_t)timer); }

#else

int semq_alarm_create(semq_timer *timer) {
    (void)timer;
    return ENOTSUP;
}

void semq_alarm_set(semq_timer timer, int64_t first, int64_t again) { (void)timer, (void)first, (void)again; }

void semq_alarm_delete(semq_timer timer) { (void)timer; }

#endif
