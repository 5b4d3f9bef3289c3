// Sits on a test host and starts there what the torture run asks for, so that nobody has to enter the host's
// namespaces for each job. Speaks on its standard streams, in lines:
//
//     JOB <tab> FILE <tab> WORD <tab> WORD …    starts the words as a command of that number; it prints into FILE,
//                                               and finds the number in TORTURE_JOB
//
//     S JOB PID                                 it was started, or couldn't be: PID 0
//     E JOB STATUS                              it has ended, with this status of wait(2)
//
// Ends with its input, and leaves what it has started to themselves.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORDS = 64, MOST_RUNNING = 64, LONGEST = 1 << 16 };

static struct {
    pid_t pid;
    int job;
} running[MOST_RUNNING];

static void tell(char kind, int job, int number) {
    char line[64];
    int length = snprintf(line, sizeof line, "%c %d %d\n", kind, job, number);
    if (write(STDOUT_FILENO, line, (size_t)length) != length) exit(1);
}

static void start(char *line) {
    char *words[MOST_WORDS + 1] = {0};
    const char *number = strsep(&line, "\t");
    int job = atoi(number);
    const char *file = strsep(&line, "\t");
    for (int count = 0; line != NULL && count < MOST_WORDS; count++) words[count] = strsep(&line, "\t");
    int index = 0;
    while (index < MOST_RUNNING && running[index].pid != 0) index++;
    pid_t pid = words[0] == NULL || index == MOST_RUNNING ? -1 : fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setpgid(0, 0);
        int input = open("/dev/null", O_RDONLY), output = open(file, O_WRONLY | O_APPEND | O_CREAT, 0666);
        if (input < 0 || output < 0) _exit(126);
        dup2(input, 0);
        dup2(output, 1);
        dup2(output, 2);
        if (input > 2) close(input);
        if (output > 2) close(output);
        setenv("TORTURE_JOB", number, 1);
        execvp(words[0], words);
        perror(words[0]);
        _exit(127);
    }
    if (pid > 0) {
        running[index].pid = pid;
        running[index].job = job;
    }
    tell('S', job, pid > 0 ? pid : 0);
}

static void reap(void) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (int index = 0; index < MOST_RUNNING; index++) {
            if (running[index].pid != pid) continue;
            tell('E', running[index].job, status);
            running[index].pid = 0;
        }
    }
}

int main(void) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    struct pollfd events[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                               {.fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN}};
    static char buffer[LONGEST];
    size_t filled = 0;
    for (;;) {
        if (poll(events, 2, -1) < 0 && errno != EINTR) return 1;
        struct signalfd_siginfo info;
        while (read(events[1].fd, &info, sizeof info) > 0) {}
        reap();
        if (events[0].revents == 0) continue;
        ssize_t count = read(STDIN_FILENO, buffer + filled, sizeof buffer - filled);
        if (count <= 0) return 0;
        filled += (size_t)count;
        char *line = buffer, *end;
        while ((end = memchr(line, '\n', filled - (size_t)(line - buffer))) != NULL) {
            *end = 0;
            start(line);
            line = end + 1;
        }
        filled -= (size_t)(line - buffer);
        memmove(buffer, line, filled);
    }
}
