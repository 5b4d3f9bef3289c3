// uncontended FILE COUNT: what the kernel asks for an open, a lock, an unlock and a close, and for lock and
// unlock alone. Prints the ns of both, a line for each time.

#define _GNU_SOURCE
#include "clock.h"

#include <sys/file.h>

int main(int argc, char **argv) {
    if (argc != 3) return 64;
    int kept = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (kept < 0) return 73;
    for (int i = 0; i < atoi(argv[2]); i++) {
        int64_t start = now();
        int fd = open(argv[1], O_RDWR | O_CLOEXEC);
        if (fd < 0 || flock(fd, LOCK_EX) != 0 || flock(fd, LOCK_UN) != 0) return 74;
        close(fd);
        int64_t middle = now();
        if (flock(kept, LOCK_EX) != 0 || flock(kept, LOCK_UN) != 0) return 74;
        printf("%lld %lld\n", (long long)(middle - start), (long long)(now() - middle));
    }
    return 0;
}
