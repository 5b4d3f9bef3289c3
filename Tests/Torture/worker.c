// What runs under the semaphore in a torture run: an unlocked read-modify-write with a deliberate gap
// between read and write, logged by a monotonic clock; and the other processes that a command leaves behind.
//
//     worker FOLDER JOB SECTION-MICROSECONDS [daemon=MS] [place=N] [deaf=1] [tidy=1] [child=KIND,MS]…
//     worker child FOLDER JOB KIND MS    one such child, for as long as that; where it is set-uid it makes itself root
//     worker FOLDER JOB                  gives signs of life in that job's name for some time, whatever becomes of it
//     worker trap FOLDER JOB PID MICROSECONDS GROUP    so long after the end of PID: SIGTSTP to the job's process group
//     worker as UID WORD…                becomes that user, and runs the words
//
// Each line of FOLDER/log is written by one call, so that a kill never leaves half a line:
//
//     E JOB SLOT TICKET TOKEN PID PARENT NANOSECONDS VALUE CLASH BEATER    inside, VALUE read from the slot's counter
//     X JOB NANOSECONDS WROTE SIGNAL                    about to leave, VALUE + 1 written or not; told to by that signal
//     B JOB KIND NANOSECONDS JOB KIND                   came to the board, and found somebody of another turn there
//     T JOB NANOSECONDS                                 the trap has sent its signal then; 0: nobody was there
//
// CLASH is 1 where a living process of another worker's had the slot's witness locked.
//
// Whoever is at the board (FOLDER/board) has locked a byte of its own there: a lock of fcntl(2), which no child
// inherits and which the kernel takes away at the death of the process, before it closes the semaphore's descriptors.
// Its place tells the slot, the job and the KIND. Each looks for others *after* it has locked its own, so of two of
// different turns one sees the other.
//
// With a place, a number that is added to all process numbers so that they differ from host to host, it gives signs
// of life for as long as it is inside, and so does a process that has left its session and its parent (BEATER): their
// last moments stand in FOLDER/signs. It ends that process itself before it leaves in good order, or where nobody else
// has to: a tidy one always, the others but after SIGTERM. A deaf one doesn't heed SIGTERM.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64, WITNESS = 900, MOST_JOBS = 1 << 18 };
enum { SLOT_BITS = 40, BYTES = 64, EACH = 8, MOST_SEEN = 16, MOST_CHILDREN = 8 };

// Who is at the board. Those that don't end by themselves when they are told to: deaf, closed, root.
enum kind {
    COMMAND,
    CHILD,   // in the command's session
    DEAF,    // likewise, and heeds no signal that can be ignored
    BEHIND,  // likewise, below a parent that has made a session of its own
    DAEMON,  // in a session of its own
    ROOT,    // likewise deaf; another user's
    CLOSED,  // likewise deaf; has closed what it inherited
    KINDS
};
static const char *const names[KINDS] = {"command", "child", "deaf", "behind", "daemon", "root", "closed"};

// Of one job: the worker's last sign of life and its beater's, until when it is to stay inside at least, and whether
// nobody is left who could end it: then it changes nothing.
struct signs {
    int64_t worker, beater, stay, forsaken;
};

static volatile sig_atomic_t terminated;
static int64_t place;
static int log_file, board;

static void on_end(int number) { terminated = number; }

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(99);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void sleep_until(int64_t moment) {
    struct timespec until = {.tv_sec = moment / 1000000000, .tv_nsec = moment % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

// Of several semaphores, the last one that was named.
static int64_t variable(const char *name) {
    const char *text = getenv(name);
    if (text == NULL) fail(name);
    const char *last = strrchr(text, '\n');
    return strtoll(last != NULL ? last + 1 : text, NULL, 10);
}

static int open_in(const char *folder, const char *name, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int descriptor = open(path, flags | O_CLOEXEC, 0666);
    if (descriptor < 0) fail(path);
    return descriptor;
}

static void open_files(const char *folder) {
    umask(0);
    log_file = open_in(folder, "log", O_WRONLY | O_APPEND);
    board = open_in(folder, "board", O_RDWR);
}

static void say(const char *line, int length) {
    if (write(log_file, line, (size_t)length) != length) fail("log");
}

static void look(int slot, int job, enum kind kind, int64_t from, int64_t to, int *seen) {
    while (from < to && *seen < MOST_SEEN) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = from, .l_len = to - from};
        if (fcntl(board, F_GETLK, &lock) != 0) fail("board");
        if (lock.l_type == F_UNLCK) return;
        ++*seen;
        int64_t other = lock.l_start & ((1LL << SLOT_BITS) - 1);
        char line[256];
        int length = snprintf(line, sizeof line, "B %d %s %lld %lld %s\n", job, names[kind], (long long)now(),
                              (long long)(other / BYTES), names[other % BYTES / EACH]);
        say(line, length);
        // The list has no order that could be relied upon.
        look(slot, job, kind, from, lock.l_start, seen);
        from = lock.l_start + 1;
    }
}

static void come_to_board(int slot, int job, enum kind kind) {
    int64_t first = (int64_t)slot << SLOT_BITS, own = first + (int64_t)job * BYTES;
    struct flock lock = {.l_type = F_WRLCK, .l_start = own + kind * EACH, .l_len = 1};
    for (int i = 0; fcntl(board, F_SETLK, &lock) != 0; i++, lock.l_start++) {
        if (i == EACH - 1) fail("board");
    }
    int seen = 0;
    look(slot, job, kind, first, own, &seen);
    look(slot, job, kind, own + BYTES, first + (1LL << SLOT_BITS), &seen);
}

// A daemon in the old way: a session of its own, every inherited descriptor kept open. Forked before
// the witness is locked, so that it can't hold that.
static void leave_daemon(int slot, int job, int milliseconds) {
    if (milliseconds == 0 || fork() != 0) return;
    setsid();
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_NAME, "torture-daemon");
    come_to_board(slot, job, DAEMON);
    usleep((useconds_t)milliseconds * 1000);
    _exit(0);
}

static struct signs *signs_of(const char *folder, int job) {
    if (job < 0 || job >= MOST_JOBS) exit(96);
    int file = open_in(folder, "signs", O_RDWR);
    struct signs *all = mmap(NULL, MOST_JOBS * sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (all == MAP_FAILED) fail("mmap");
    close(file);
    return &all[job];
}

static _Noreturn void be_child(const char *folder, int slot, int job, enum kind kind, int64_t end) {
    bool heeds = kind == CHILD || kind == BEHIND;
    const int signals[] = {SIGTERM, SIGHUP, SIGINT};
    for (int i = 0; i < 3; i++) signal(signals[i], heeds ? SIG_DFL : SIG_IGN);
    prctl(PR_SET_NAME, "torture-child");
    if (kind == CLOSED) {
        // Where semq's are; ours are below.
        for (int each = 100; each < 1024; each++) close(each);
    }
    come_to_board(slot, job, kind);
    sleep_until(end);
    // Where the command is to stay for longer, so are we.
    char path[4096];
    snprintf(path, sizeof path, "%s/signs", folder);
    if (access(path, F_OK) == 0) sleep_until(signs_of(folder, job)->stay);
    _exit(0);
}

// Born before the witness is locked, so that it has no share in that; stays until that moment, unless it is ended.
static void start_child(const char *folder, int slot, int job, enum kind kind, int64_t end) {
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) return;
    if (kind == BEHIND) {
        if (fork() != 0) {
            setsid();
            prctl(PR_SET_NAME, "torture-daemon");
            come_to_board(slot, job, DAEMON);
            sleep_until(end);
            _exit(0);
        }
    }
    if (kind == ROOT) {
        char path[4096], number[24], milliseconds[24];
        snprintf(path, sizeof path, "%s/../asroot", folder);
        snprintf(number, sizeof number, "%d", job);
        snprintf(milliseconds, sizeof milliseconds, "%lld", (long long)((end - now()) / 1000000));
        execl(path, "asroot", "child", folder, number, names[kind], milliseconds, (char *)NULL);
        fail(path);
    }
    be_child(folder, slot, job, kind, end);
}

static enum kind kind_named(const char *name, size_t length) {
    for (int kind = 0; kind < KINDS; kind++) {
        if (strlen(names[kind]) == length && strncmp(names[kind], name, length) == 0) return (enum kind)kind;
    }
    exit(95);
}

static int be_one_child(char **argv) {
    enum kind kind = kind_named(argv[4], strlen(argv[4]));
    if (kind == ROOT && setresuid(0, 0, 0) != 0) fail("set-uid");
    open_files(argv[2]);
    be_child(argv[2], (int)variable("SEMQ_SLOT"), atoi(argv[3]), kind, now() + atoll(argv[5]) * 1000000);
}

static int trap(char **argv) {
    int target = atoi(argv[6]);
    struct pollfd holder = {.fd = (int)syscall(SYS_pidfd_open, atoi(argv[4]), 0), .events = POLLIN};
    struct pollfd victim = {.fd = (int)syscall(SYS_pidfd_open, target, 0), .events = POLLIN};
    open_files(argv[2]);
    int64_t moment = 0;
    // Where the holder has left already, that is now.
    if (holder.fd >= 0) poll(&holder, 1, 2000);
    for (int64_t end = now() + atoll(argv[5]) * 1000; now() < end;) {}
    if (victim.fd >= 0 && poll(&victim, 1, 0) == 0) {
        moment = now();
        if (kill(-target, SIGTSTP) != 0) moment = 0;
    }
    char line[128];
    say(line, snprintf(line, sizeof line, "T %s %lld\n", argv[3], (long long)moment));
    return 0;
}

static int become(char **argv) {
    uid_t user = (uid_t)atoi(argv[2]);
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) fail("as");
    execvp(argv[3], argv + 3);
    fail(argv[3]);
}

// The kernel closes the descriptors of a dying process from the highest down: this one goes before
// those of the semaphore, so a lock that is handed on in good order finds the witness free.
static bool lock_witness(const char *folder, int slot) {
    char name[32];
    snprintf(name, sizeof name, "witness.%d", slot);
    int low = open_in(folder, name, O_RDWR | O_CREAT);
    if (dup3(low, WITNESS, O_CLOEXEC) < 0) fail("dup3");
    close(low);
    return flock(WITNESS, LOCK_EX | LOCK_NB) == 0;
}

static _Noreturn void beat(struct signs *signs) {
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    prctl(PR_SET_NAME, "torture-beater");
    for (;;) {
        signs->beater = now();
        usleep(1000);
    }
}

// Born of a process that ends at once, in a session of its own, deaf; has the witness too.
static pid_t start_beater(struct signs *signs, int slot, int job) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe2");
    // One that was ended in between would leave a beater behind that nobody knows.
    sigset_t told, before;
    sigemptyset(&told);
    for (int i = 0; i < 3; i++) sigaddset(&told, (int[]){SIGTERM, SIGHUP, SIGINT}[i]);
    sigprocmask(SIG_BLOCK, &told, &before);
    pid_t between = fork();
    if (between < 0) fail("fork");
    if (between == 0) {
        setsid();
        pid_t beater = fork();
        if (beater != 0) {
            if (write(ends[1], &beater, sizeof beater) != sizeof beater) _exit(1);
            _exit(0);
        }
        come_to_board(slot, job, DAEMON);
        beat(signs);
    }
    pid_t beater = -1;
    if (read(ends[0], &beater, sizeof beater) != sizeof beater || beater < 0) fail("beater");
    close(ends[0]);
    close(ends[1]);
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR) {}
    sigprocmask(SIG_SETMASK, &before, NULL);
    return beater;
}

static void end_beater(pid_t beater) {
    struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, beater, 0), .events = POLLIN};
    if (end.fd < 0) return;
    kill(beater, SIGKILL);
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {}
    close(end.fd);
}

int main(int argc, char **argv) {
    if (argc < 3) return 98;
    if (strcmp(argv[1], "as") == 0 && argc > 3) return become(argv);
    if (strcmp(argv[1], "child") == 0 && argc == 6) return be_one_child(argv);
    if (strcmp(argv[1], "trap") == 0 && argc == 7) return trap(argv);
    const char *folder = argv[1];
    int job = atoi(argv[2]);
    if (argc == 3) {
        alarm(20);
        beat(signs_of(folder, job));
    }
    int64_t section = atoll(argv[3]) * 1000;
    bool deaf = false, tidy = false, signals_life = false;
    int daemon = 0, count = 0;
    struct {
        enum kind kind;
        int64_t after;
    } children[MOST_CHILDREN];
    for (int i = 4; i < argc; i++) {
        const char *word = argv[i], *comma = strchr(word, ',');
        if (strncmp(word, "daemon=", 7) == 0) daemon = atoi(word + 7);
        else if (strncmp(word, "deaf=", 5) == 0) deaf = atoi(word + 5);
        else if (strncmp(word, "tidy=", 5) == 0) tidy = atoi(word + 5);
        else if (strncmp(word, "place=", 6) == 0) signals_life = true, place = atoll(word + 6);
        else if (strncmp(word, "child=", 6) == 0 && comma != NULL && count < MOST_CHILDREN) {
            children[count].kind = kind_named(word + 6, (size_t)(comma - word - 6));
            children[count++].after = atoll(comma + 1) * 1000000;
        } else return 94;
    }
    struct sigaction action = {.sa_handler = on_end}, ignored = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, deaf ? &ignored : &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int slot = (int)variable("SEMQ_SLOT");
    if (slot < 0 || slot >= SLOTS) return 97;
    open_files(folder);
    int64_t entry = now();
    come_to_board(slot, job, COMMAND);
    leave_daemon(slot, job, daemon);
    for (int i = 0; i < count; i++) {
        start_child(folder, slot, job, children[i].kind, entry + section + children[i].after);
    }

    int file = open_in(folder, "counters", O_RDWR);
    volatile int64_t *counters = mmap(NULL, SLOTS * sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED) fail("mmap");
    volatile struct signs *signs = signals_life ? signs_of(folder, job) : NULL;

    bool clash = !lock_witness(folder, slot);
    int64_t value = counters[slot];
    pid_t beater = signs != NULL ? start_beater((struct signs *)signs, slot, job) : 0;
    char line[512];
    int length = snprintf(line, sizeof line, "E %d %d %lld %lld %lld %lld %lld %lld %d %lld\n", job, slot,
                          (long long)variable("SEMQ_TICKET"), (long long)variable("SEMQ_TOKEN"),
                          (long long)(place + getpid()), (long long)(place + getppid()), (long long)entry,
                          (long long)value, clash, beater > 0 ? (long long)(place + beater) : 0);
    say(line, length);

    int64_t end = entry + section;
    for (int64_t at; !terminated && (at = now()) < end;) {
        if (signs == NULL) {
            sleep_until(end);
            continue;
        }
        signs->worker = at;
        if (end < signs->stay) end = signs->stay;
        sleep_until(at + 1000000 < end ? at + 1000000 : end);
    }
    int told = terminated;
    bool wrote = !told && !(signs != NULL && signs->forsaken);
    if (wrote) counters[slot] = value + 1;
    // Whoever is told to leave by SIGTERM leaves its beater behind: that is what the guardian has to find.
    if ((told != SIGTERM || tidy) && beater > 0) end_beater(beater);

    length = snprintf(line, sizeof line, "X %d %lld %d %d\n", job, (long long)now(), wrote, told);
    say(line, length);
    if (told) {
        signal(told, SIG_DFL);
        raise(told);
    }
    return 0;
}
