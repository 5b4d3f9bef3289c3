// libssh2, and the few calls of libc that Swift's Glibc module leaves out.

#pragma once

#include <libssh2.h>
#include <sys/eventfd.h>
