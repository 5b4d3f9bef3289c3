// work LOG INDEX MICROSECONDS: the command that every peer runs. Spins that long, and logs
// `INDEX start end granted` in ns of CLOCK_MONOTONIC.

#include "clock.h"

int main(int argc, char **argv) {
    int64_t start = now();
    if (argc != 4) return 64;
    int64_t until = start + atoll(argv[3]) * 1000;
    int64_t end;
    while ((end = now()) < until) {}
    log_line(argv[1], "%s %lld %lld %lld\n", argv[2], (long long)start, (long long)end, (long long)grant_time());
    return 0;
}
