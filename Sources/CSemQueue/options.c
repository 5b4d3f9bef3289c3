#define _GNU_SOURCE
#include "CSemQueue.h"

#include <getopt.h>
#include <string.h>

enum { MAXIMUM = 48 };

static int end;

int semq_next_option(int argc, char **argv, const struct semq_option *options, int count, const char **argument) {
    struct option all[MAXIMUM + 1] = {0};
    char letters[2 * MAXIMUM + 3] = "-:";  // operands in their order; ':' for a missing argument
    char *next = letters + 2;
    for (int i = 0; i < count && i < MAXIMUM; i++) {
        all[i].name = options[i].name;
        all[i].has_arg = options[i].takes_argument ? required_argument : no_argument;
        all[i].val = options[i].code;
        if (options[i].code < 256) {
            *next++ = (char)options[i].code;
            if (options[i].takes_argument) *next++ = ':';
        }
    }
    opterr = 0;
    int before = optind;
    int code = getopt_long(argc, argv, letters, all, NULL);
    if (code == -1) end = optind > before ? optind : 0;  // only `--` is stepped over
    bool wrong = code == '?' || code == ':';
    *argument = !wrong ? optarg : argv[optind > before ? optind - 1 : before];
    return code;
}

int semq_options_end(void) { return end; }
