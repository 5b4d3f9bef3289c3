// libssh2, and calls of the system that Swift's Glibc module leaves out.

#pragma once

#include <libssh2.h>
#include <sys/eventfd.h>

#include <stdint.h>

int pipe2(int ends[2], int flags);

// libcrypto's, which libssh2 is made of (OPENSSL_init_crypto(3)).
int OPENSSL_init_crypto(uint64_t options, const void *settings);
