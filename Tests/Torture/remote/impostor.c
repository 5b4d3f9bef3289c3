// Another user on the semaphores' host, who wants to be taken for an agent: takes every name under which one might be
// looked for, as soon as it can be read or guessed, answers as an agent would, and knocks at those that listen.
//
//     impostor FILE UID TAKES-FOLDER      as UID; is in the folder's place before the agents' user is, or not
//
// Each line of FILE is written by one call:
//
//     N NAME     listens under that name
//     K NAME     has come in there
//     H TEXT     was told something

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// The newest names, each under two or three addresses; and those who have come in.
enum { NAMES = 120, LISTENERS = 360, VISITORS = 64, LONGEST = 100 };

static int file;
static char taken[NAMES][LONGEST];
static struct pollfd sources[LISTENERS + VISITORS];
static int names, listeners, visitors;

static void say(char kind, const char *text) {
    char line[256];
    int length = snprintf(line, sizeof line, "%c %.200s\n", kind, text);
    if (write(file, line, (size_t)length) != length) exit(1);
}

static socklen_t address(struct sockaddr_un *to, bool abstract, const char *name) {
    memset(to, 0, sizeof *to);
    to->sun_family = AF_UNIX;
    int length = snprintf(to->sun_path + abstract, sizeof to->sun_path - 2, "%s", name);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length + abstract);
}

static void listen_at(bool abstract, const char *name) {
    struct sockaddr_un to;
    socklen_t length = address(&to, abstract, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&to, length) == 0 && listen(fd, 8) == 0) {
        say('N', name);
        struct pollfd *place = &sources[listeners++ % LISTENERS];
        if (place->fd > 0) close(place->fd);
        *place = (struct pollfd){.fd = fd, .events = POLLIN};
    } else if (fd >= 0) {
        close(fd);
    }
}

static void knock(bool abstract, const char *name) {
    struct sockaddr_un to;
    socklen_t length = address(&to, abstract, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    if (connect(fd, (struct sockaddr *)&to, length) == 0) say('K', name);
    close(fd);
}

// Of a name as /proc/net/unix has it. What we have made of one is none.
static void try(const char *path) {
    const char *last = strrchr(path, '/');
    char other[2 * LONGEST];
    const char *name = last != NULL ? last + 1 : path + (path[0] == '@');
    if (strncmp(name, "semq-", 5) == 0) name += 5;
    if (strncmp(name, "tmp-", 4) == 0) name += 4;
    for (int i = 0; i < NAMES; i++) {
        if (strcmp(taken[i], name) == 0) return;
    }
    snprintf(taken[names++ % NAMES], LONGEST, "%s", name);
    knock(path[0] == '@', path + (path[0] == '@'));
    snprintf(other, sizeof other, "semq-%s", name);
    listen_at(true, other);
    snprintf(other, sizeof other, "semq-tmp-%s", name);
    listen_at(true, other);
    if (last != NULL) listen_at(false, path);
}

static void look(void) {
    FILE *list = fopen("/proc/net/unix", "r");
    char line[512];
    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        char *path = strrchr(line, ' ');
        line[strcspn(line, "\n")] = 0;
        // An agent in a folder of its own has bound its socket by the folder's descriptor.
        if (path != NULL && (strstr(path, "semq-") != NULL || strstr(path, "/fd/") != NULL)) try(path + 1);
    }
    if (list != NULL) fclose(list);
}

static void answer(void) {
    if (poll(sources, LISTENERS + VISITORS, 20) <= 0) return;
    for (int i = 0; i < LISTENERS + VISITORS; i++) {
        if (sources[i].fd < 0 || sources[i].revents == 0) continue;
        if (i < LISTENERS) {
            int visitor = accept4(sources[i].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (visitor < 0) continue;
            struct pollfd *place = &sources[LISTENERS + visitors++ % VISITORS];
            if (place->fd > 0) close(place->fd);
            *place = (struct pollfd){.fd = visitor, .events = POLLIN};
            continue;
        }
        char heard[201];
        ssize_t count = read(sources[i].fd, heard, sizeof heard - 1);
        if (count > 0) {
            heard[count] = 0;
            heard[strcspn(heard, "\n")] = 0;
            say('H', heard);
            static const char reply[] = "resumed number=1\n";
            if (send(sources[i].fd, reply, sizeof reply - 1, MSG_NOSIGNAL) > 0) continue;
        }
        if (count < 0 && errno == EAGAIN) continue;
        close(sources[i].fd);
        sources[i].fd = -1;
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 98;
    file = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    struct passwd *agents = getpwnam("lab");
    uid_t user = (uid_t)atoi(argv[2]);
    if (file < 0 || agents == NULL || setgroups(0, NULL) != 0) return 97;
    if (setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) return 96;
    for (int i = 0; i < LISTENERS + VISITORS; i++) sources[i].fd = -1;
    prctl(PR_SET_NAME, "impostor");
    char folder[64];
    snprintf(folder, sizeof folder, "/tmp/semq-%u", agents->pw_uid);
    if (atoi(argv[3])) mkdir(folder, 0777);
    for (;;) {
        look();
        answer();
    }
}
