// What Swift can't see or do: open-file-description locks, fork, per-thread timers, signal handlers
// that stay within the async-signal-safe calls.

#pragma once

#include <stdbool.h>
#include <stdint.h>

// MARK: locks.c: open-file-description locks (fcntl(2), "Open file description locks")

/// Lock types, as F_RDLCK, F_WRLCK and F_UNLCK.
#define SEMQ_READ 0
#define SEMQ_WRITE 1
#define SEMQ_UNLOCK 2

/// Sets or removes a lock on `length` bytes from `start` (0: to the end of all offsets).
/// With `wait` it blocks until granted or until a signal handler has run (EINTR).
/// Returns 0 or errno; EAGAIN when another description is in the way.
int semq_lock(int fd, int type, int64_t start, int64_t length, bool wait);

/// Asks for any lock that stands in the way of `type` on the range. Returns 0 or errno;
/// `*found_start` is -1 when the range is free.
int semq_lock_query(int fd, int type, int64_t start, int64_t length, int64_t *found_start);

// MARK: alarm.c: a timer that interrupts a blocking call of one thread

/// The signal that alarms deliver. Ignored by default, so a stray one harms nobody.
int semq_alarm_signal(void);

/// Installs the empty handler, without SA_RESTART, that lets the signal end a blocking call.
void semq_alarm_install(void);

typedef intptr_t semq_timer;

/// Lets the signal through to the calling thread: threads are born with all signals blocked.
void semq_alarm_unblock(void);

/// Creates a timer on CLOCK_MONOTONIC that signals the calling thread. Returns 0 or errno.
int semq_alarm_create(semq_timer *timer);

/// First expiry after `first` ns, then each `again` ns until set anew; 0 disarms.
void semq_alarm_set(semq_timer timer, int64_t first, int64_t again);

void semq_alarm_delete(semq_timer timer);

// MARK: process.c

/// The words that the program was started with, its own name first.
int semq_argument_count(void);
const char *semq_argument(int index);

/// Starts a program, looked for in PATH, with these descriptors as its standard input, output and error, and one more
/// as its descriptor 3 (-1: none), and these signals ignored; all others it finds at their defaults and not blocked.
/// Returns 0 or errno.
int semq_spawn(
    int *pid, const char *program, char *const arguments[], int in, int out, int err, int third, const int *ignored, int count);

/// A program that carries a link.
struct semq_link {
    int pid;
    /// Our child, whose child the program is; 0: the program is our own.
    int keeper;
    int place;
};

/// The same for one that carries a link.
///
/// - mark: `NAME=VALUE`, in its environment and in that of all it starts.
/// - leads: a session of its own. Nobody is there whom it could ask.
/// - kept: one that leads is below a keeper, a subreaper of its own that gets all that it leaves, and stays as long as
///   there is any. SIGUSR1 tells the keeper to end the program's group, SIGCONT to let the program go on. It ends when its
///   parent has, and whoever that was forked by; then what it kept is init's. Where there is no room for one, the program
///   is started without.
int semq_spawn_link(
    struct semq_link *link, const char *program, char *const arguments[], const char *mark, bool leads, bool kept, int in,
    int out, int err, int third, const int *ignored, int count);

/// Learns the end of one: 1 and its status, as waitpid(2) tells it; 0 while it runs; -1 where nobody can be asked. What a
/// leader leaves in its group is killed. Then no child of ours need be gone: its keeper is there as long as anything is left.
int semq_link_end(const struct semq_link *link, bool leads, int *status, bool *is_gone);

/// Before a fork after which each of both is to know the other's keepers.
void semq_keepers_prepare(void);

/// Whether a process is a keeper of ours, or of one that was forked from us.
bool semq_is_keeper(int pid);

/// Waits until a child has ended; it isn't reaped.
void semq_await_end(int pid);

/// Whether a process was started with a text in its environment. False where we may not look.
bool semq_environment_has(int pid, const char *text);

/// The linker's name for a program's content (its GNU build id), in hexadecimal. False where it has none.
bool semq_build_id(const char *path, char *text, int room);

/// Takes what the start needed out of the environment, which is the command's.
void semq_restore_environment(void);

/// fork(2), which Swift hides. Only for a process that has no second thread.
int semq_fork(void);

/// Makes this process the one that orphans below it are handed to. Returns 0 or errno.
int semq_become_subreaper(void);

/// Sets the name that ps shows (15 bytes).
void semq_set_process_name(const char *name);

/// What became of a child.
#define SEMQ_EXITED 0
#define SEMQ_SIGNALED 1
#define SEMQ_STOPPED 2
#define SEMQ_CONTINUED 3

/// A child of any kind that has ended, stopped or gone on: its pid, SEMQ_EXITED and so on, and the exit
/// code or signal. It stays to be peeked at again until it is reaped. Returns false when there is none
/// just now; `*childless` says whether there are no children at all.
bool semq_peek_child(int *pid, int *kind, int *number, bool *childless);

/// Takes away what semq_peek_child has shown, and no more: an end that came since is kept.
void semq_reap_child(int pid, int kind);

/// Takes what there is to be told of a child's stop or going on; false if there is nothing (any more). An end is left.
bool semq_take_change(int pid, int *kind, int *number);

/// Waits up to `timeout` ns (negative: for ever) for one of the blocked signals in `signals`.
/// Returns its number, or 0 on time-out or interruption. `*from_process` tells kill(2) from the
/// kernel (the terminal), `*sender` who it was.
int semq_wait_signal(const int *signals, int count, int64_t timeout, bool *from_process, int *sender);

/// Sends a signal to this process's first thread, whichever others it has.
void semq_signal_main_thread(int signal);

/// Blocks (or unblocks) the given signals for the calling thread.
void semq_block_signals(const int *signals, int count, bool block);

/// The disposition of a signal: true where it is ignored.
bool semq_signal_is_ignored(int signal);

/// Sets a signal to its default action, or ignores it.
void semq_signal_default(int signal, bool ignore);

/// Ends this process by `signal`, as if it had never been caught, leaving no core.
void semq_die_by(int signal);

/// What is asked of a file again and again.
struct semq_file {
    uint64_t device, inode;
    int64_t size;
    uint64_t links;
};

/// Looks at a file by its path (links are not followed), or, with an empty path, at the one that `folder` is. Its times
/// aren't asked for: on newer kernels (6.13) whoever asks makes the next write give it new ones, and write its inode.
/// Returns errno or 0.
int semq_look(int folder, const char *path, struct semq_file *file);

/// The magic number of the file system that `fd` lives on, or 0.
int64_t semq_filesystem(int fd);

/// A descriptor that is readable while one of the blocked signals is pending, or -1.
int semq_signal_descriptor(const int *signals, int count);

// MARK: tree.c: the processes below this one

/// When a process was started, in clock ticks since boot, or 0 where /proc doesn't tell.
uint64_t semq_process_start(int pid);

/// Sends a signal to the process that has this number and was started then (0: whenever), by a pidfd, so that nobody
/// gets it who was given the number since. Returns 0 or errno.
int semq_signal_process(int pid, uint64_t start, int signal);

/// The children of a process's first thread, those that have ended and weren't reaped too. Returns how many are put
/// into `pids`, or -1 where /proc doesn't tell.
int semq_children(int parent, int *pids, int room);

/// Kills all below a process that are in this session, and of which it can't have more: it was stopped.
void semq_kill_below(int pid, int session);

/// Kills the children of this process's first thread, but for those spared, and reaps those that have ended, but for
/// `kept`. Returns how many have not ended yet, or -1 where /proc doesn't tell.
int semq_kill_children(const int *spared, int count, int kept);

/// Only the second of that; some thousands at a time. Returns how many.
int semq_reap_children(const int *spared, int count, int kept);

// MARK: a word of memory that several processes or threads share, written and read at once

static inline void semq_word_set(int64_t *word, int64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
static inline int64_t semq_word_get(const int64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

// MARK: streams.c: what carries messages

struct pollfd;

/// Both ends close on exec and never block. Returns 0 or errno.
int semq_pipe(int ends[2]);

/// poll(2) with a timeout in ns. Returns 0 or errno.
int semq_poll(struct pollfd *events, int count, int64_t timeout);

/// The next connection to a Unix socket, or -1.
int semq_accept(int listener);

/// Whether the process at the other end of a Unix socket is of this one's user: the one that has connected, or, for
/// whoever has, the one that called listen(2).
bool semq_is_of_this_user(int connection);

// MARK: waiting.c: what terminal signals do to a process that stands in a queue

/// From now until `semq_waiting_end` a stop from the terminal waits until it is allowed, and deadly
/// signals first write the tidy text to standard error.
void semq_waiting_begin(void);

/// Back to default actions; the stop stays blocked until it is allowed.
void semq_waiting_end(void);

/// The place in the queue: `length` bytes of `fd` at `start`, which are given up (locked for reading)
/// before this process stops, so that a stopped waiter is in nobody's way. The slot is unlocked then too:
/// the kernel may have granted it a moment before; and so is all on `private_fd`, by which it waits for others.
/// With -1 for `fd` there is no place.
void semq_waiting_place(
    int fd, int private_fd, int64_t start, int64_t length, int64_t slot_start, int64_t slot_length);

/// A connection (or -1) by which a waiter that is told to die says goodbye.
void semq_waiting_farewell(int fd);

/// More is at stake than one goodbye: from now until `semq_waiting_end` the first deadly signal is only noted, for
/// whoever waits to give all up in good order. A second ends the process at once, and so does a second of time.
void semq_waiting_orderly(void);

/// The deadly signal that was noted, or 0.
int semq_waiting_death(void);

/// The text to write before dying or stopping, or null. Must outlive the wait.
void semq_waiting_tidy(const char *tidy);

/// True once after a stop: the place must be locked anew.
bool semq_waiting_was_stopped(void);

/// Lets the stop signals of the terminal through (only around a blocking wait).
void semq_waiting_allow_stop(bool allow);

// MARK: screen.c: the terminal's alternate screen

/// Shows it on standard output until `semq_screen_end`, a deadly signal, or for as long as the terminal stops this
/// process.
void semq_screen_begin(void);
void semq_screen_end(void);

// MARK: turn.c: whose turn it is to ask at the terminal, among a process and the programs that it has started

/// Makes the memory that they share. From then on a deadly signal whose action is the default first puts the terminal
/// back as it was.
void semq_turn_make(void);

/// The memory's descriptor in the process that has made it, or -1. A lock on its first byte is the turn.
int semq_turn_memory(void);

/// Maps the memory that another process has made.
bool semq_turn_join(int fd);

/// The process that has the turn, or 0.
int semq_turn_holder(void);

/// Whether there is a line on the terminal that is redrawn; whoever asks clears it first.
void semq_turn_line(bool is_there);

/// Notes who has taken the turn, and what the terminal is like now. For whoever has the lock.
void semq_turn_begin(int pid);

/// The holder has asked, and has put the terminal back itself.
void semq_turn_end(int pid);

/// The same of a holder that has died, in whose place the terminal is put back.
void semq_turn_restore(int pid);

/// For a process that ends now: ends the holder, which is its child or itself, and puts the terminal back. Safe in
/// signal handlers.
void semq_turn_rescue(void);

// MARK: options.c: getopt_long(3), whose struct wants C strings that outlive the call

/// One option: its long name, its letter (or a number above 255 where it has none), whether it takes
/// an argument.
struct semq_option {
    const char *name;
    int code;
    bool takes_argument;
};

/// The next option or operand of `argv`, from `argv[1]` on; `--` ends them. Returns the option's code,
/// 1 for an operand, '?' for an unknown option, ':' where an argument is missing, -1 at the end, with
/// `*argument` the argument, the operand, or the offending word. Keeps its place between calls.
int semq_next_option(int argc, char **argv, const struct semq_option *options, int count, const char **argument);

/// The index of the first word after `--`, or 0 where there is no `--`, once semq_next_option has returned -1.
int semq_options_end(void);
