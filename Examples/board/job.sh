#!/bin/sh
# One of the team's scripts: takes its turn at the board and flashes an image.
#
#   job.sh LINE IMAGE DESCRIPTION [SEMAPHORE [PRIORITY]]
#
# Without a semaphore it doesn't wait for anybody.
flash=$(dirname "$0")/flash.sh
[ $# -ge 4 ] || exec "$flash" "$1" "$2"
exec semq acquire -q --priority "${5:-0}" -m "$3" "$4" -- "$flash" "$1" "$2"
