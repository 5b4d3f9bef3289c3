#!/usr/bin/env bash
# Sends an image to the board at the end of a serial line, and waits until it has booted.
#
#   flash.sh LINE IMAGE
#
# Prints the checksum that the board booted; fails if it is not the image's.
set -u
line=$1 image=$2
wanted=$(sha256sum <"$image" | head -c 8)
size=$(stat -c %s "$image")
booted=

# hear SECONDS: the board's next answer, in $answer.
hear() {
    answer=
    IFS= read -r -t "$1" answer <&4 || return 1
    case $answer in BOOTED*) booted=${answer#BOOTED } ;; esac
}

exec 3>"$line" 4< <(exec cat "$line")
reader=$!
# A reader that is left behind would take the next one's answers.
trap 'kill "$reader"; wait "$reader" 2>/dev/null' EXIT
for _ in 1 2 3 4 5; do
    printf 'LOAD %s\n' "$size" >&3
    hear 1
    [ "$answer" != READY ] || break
    sleep 0.2
done
for ((sent = 0; sent < size; sent += 128)); do
    dd if="$image" bs=128 skip=$((sent / 128)) count=1 status=none >&3
    hear 1
done
until [ -n "$booted" ] || ! hear 2; do :; done

echo "${booted:-none}"
[ "$booted" = "$wanted" ]
