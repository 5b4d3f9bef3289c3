// spawn ROUNDS COMMANDS OUT: runs the commands in turn, ROUNDS times, each from posix_spawn to wait. COMMANDS
// has one a line, words divided by tabs. Writes a line for each round: the ns of each command. The order
// rotates, so that none always runs after the same other.

#define _GNU_SOURCE
#include "clock.h"

#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;
enum { MOST = 16, WORDS = 32 };

int main(int argc, char **argv) {
    if (argc != 4) return 64;
    int rounds = atoi(argv[1]);
    FILE *in = fopen(argv[2], "r");
    FILE *out = fopen(argv[3], "we");
    if (!in || !out) return 66;
    char *commands[MOST][WORDS] = {0};
    char line[4096];
    int count = 0;
    while (count < MOST && fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        int word = 0;
        for (char *next = strtok(strdup(line), "\t"); next && word < WORDS - 1; next = strtok(NULL, "\t")) {
            commands[count][word++] = next;
        }
        if (word > 0) count++;
    }
    fclose(in);
    for (int round = 0; round < rounds; round++) {
        int64_t times[MOST] = {0};
        for (int turn = 0; turn < count; turn++) {
            int which = (turn + round) % count;
            int64_t start = now();
            pid_t pid;
            int status;
            if (posix_spawnp(&pid, commands[which][0], NULL, NULL, commands[which], environ) != 0) return 71;
            if (waitpid(pid, &status, 0) != pid || status != 0) {
                fprintf(stderr, "spawn: %s failed with status %d\n", commands[which][0], status);
                return 70;
            }
            times[which] = now() - start;
        }
        for (int i = 0; i < count; i++) fprintf(out, "%lld%c", (long long)times[i], i == count - 1 ? '\n' : ' ');
    }
    return fclose(out) == 0 ? 0 : 74;
}
