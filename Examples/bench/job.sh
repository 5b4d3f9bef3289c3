#!/bin/sh
# One of the team's scripts, on a host of its own: takes its turn at the board on the bench, and flashes an image.
#
#   job.sh SEMAPHORE PORT IMAGE DESCRIPTION
#
# A turn that was lost with the connection (76) is nobody's fault: it queues again.
host=${1%%:*} flash=$(dirname "$0")/flash.sh
while
    semq acquire --retry-connect 60 -m "$4" "$1" -- "$flash" "${host#*@}" "$2" "$3"
    code=$?
    [ "$code" = 76 ]
do :; done
exit "$code"
