// chain FILE COUNT MICROSECONDS LOG [WORK]: the physical limit. COUNT processes, each with a description of
// its own, lock a byte each and block on their predecessor's. Each spins that long once it is granted and
// unlocks. Prints `INDEX granted unlocked` in ns of CLOCK_MONOTONIC: from one line's unlocked to the next
// one's granted is the hand-over.
//
// With WORK, a program, each instead runs it as `WORK LOG INDEX MICROSECONDS` and unlocks when it has
// ended: the limit of a lock that runs a command.

#define _GNU_SOURCE
#include "clock.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void lock(int fd, short type, int command, off_t byte) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = ((off_t)1 << 61) + 2 * byte, .l_len = 1};
    if (fcntl(fd, command, &lock) != 0) _exit(98);
}

static char **words;

static void member(int index, int ready, int64_t *times) {
    const char *work = words[5];
    int fd = open(words[1], O_RDWR | O_CLOEXEC);
    if (fd < 0) _exit(97);
    lock(fd, F_WRLCK, F_OFD_SETLK, index);
    char number[16];
    snprintf(number, sizeof number, "%d", index);
    char *arguments[] = {(char *)work, words[4], number, words[3], NULL};
    if (write(ready, "r", 1) != 1) _exit(95);
    lock(fd, F_RDLCK, F_OFD_SETLKW, index - 1);
    times[0] = now();
    if (!work) {
        while (now() < times[0] + atoll(words[3]) * 1000) {}
    } else {
        pid_t child = vfork();
        if (child == 0) {
            execv(work, arguments);
            _exit(127);
        }
        waitpid(child, NULL, 0);
    }
    times[1] = now();
    lock(fd, F_UNLCK, F_OFD_SETLK, index);
    // Whoever is done stands still and only the last one reports, so that nothing is in the next one's way.
    if (index == atoi(words[2]) && write(ready, "d", 1) != 1) _exit(95);
    pause();
}

int main(int argc, char **argv) {
    if (argc < 5) return 64;
    words = argv;
    int count = atoi(argv[2]);
    int64_t *times = mmap(NULL, 16 * (size_t)(count + 1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t *pids = calloc((size_t)count + 1, sizeof *pids);
    int fd = open(argv[1], O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int ready[2];
    if (times == MAP_FAILED || !pids || fd < 0 || pipe2(ready, O_CLOEXEC) != 0) return 71;
    lock(fd, F_WRLCK, F_OFD_SETLK, 0);
    char byte;
    for (int index = 1; index <= count; index++) {
        pids[index] = fork();
        if (pids[index] == 0) member(index, ready[1], times + 2 * index);
        if (pids[index] < 0 || read(ready[0], &byte, 1) != 1) return 71;
    }
    usleep(500000);
    times[1] = now();
    lock(fd, F_UNLCK, F_OFD_SETLK, 0);
    if (read(ready[0], &byte, 1) != 1) return 71;
    for (int index = 1; index <= count; index++) {
        kill(pids[index], SIGKILL);
        waitpid(pids[index], NULL, 0);
    }
    for (int index = 0; index <= count; index++) {
        printf("%d %lld %lld\n", index, (long long)times[2 * index], (long long)times[2 * index + 1]);
    }
    return 0;
}
