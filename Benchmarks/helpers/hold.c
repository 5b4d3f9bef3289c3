// hold LOG INDEX: logs `start INDEX pid time granted`, runs until SIGUSR1, logs `end INDEX pid time 0`.

#include "clock.h"
#include <signal.h>

int main(int argc, char **argv) {
    int64_t start = now();
    if (argc != 3) return 64;
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    log_line(argv[1], "start %s %d %lld %lld\n", argv[2], getpid(), (long long)start, (long long)grant_time());
    int number;
    sigwait(&wanted, &number);
    log_line(argv[1], "end %s %d %lld 0\n", argv[2], getpid(), (long long)now());
    return 0;
}
