// Handlers that put something right before a signal does what it does by default. All async-signal-safe.
#pragma once

#include <signal.h>

/// The signals of terminals and supervisors that end a process.
enum { SEMQ_DEADLY = 4 };
extern const int semq_deadly[SEMQ_DEADLY];

/// Sets a handler, unless the signal was ignored when we were started (nohup): then it stays ignored.
void semq_handle(int number, void (*handler)(int));

/// For a handler that is done: the signal ends the process as it returns.
void semq_die_of(int number);

/// For the handler of a signal that stops the process: stands still until SIGCONT, then handles the next one.
void semq_stand_still(int number, void (*handler)(int));
