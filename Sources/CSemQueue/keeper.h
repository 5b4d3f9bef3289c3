#pragma once

#include "CSemQueue.h"

/// How the program is started, in the keeper. Returns 0 or errno.
struct semq_keeper_order {
    int (*spawn)(const struct semq_keeper_order *order, int *pid);
};

/// Starts a keeper and the program below it. Returns 0, errno where the program can't be started, or -1 where there is no
/// room for a keeper, or for both.
int semq_keeper_start(const struct semq_keeper_order *order, struct semq_link *link);

/// As semq_link_end.
int semq_keeper_end(const struct semq_link *link, int *status, bool *is_gone);

/// In the forked process: its parent, to which its keepers fall when it is killed.
void semq_keepers_forked_by(int pid);
