// libssh2, and calls of the system that Swift's Glibc module leaves out.

#pragma once

#include <libssh2.h>
#include <sys/eventfd.h>

int pipe2(int ends[2], int flags);
