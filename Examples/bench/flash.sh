#!/usr/bin/env bash
# Sends an image to the board behind a network port, and waits until it has booted.
#
#   flash.sh HOST PORT IMAGE
#
# Runs under semq. Prints the checksum that the board booted; fails if it is not the image's.
set -u
host=$1 port=$2 image=$3
wanted=$(sha256sum <"$image" | head -c 8)
size=$(stat -c %s "$image")

echo "writes $image" >&2
exec 3<>"/dev/tcp/$host/$port"
printf 'TOKEN %s\nLOAD %s\n' "$SEMQ_TOKEN" "$size" >&3
for ((sent = -128; sent < size; sent += 128)); do
    # READY, then a dot for each block. The network may take its time.
    read -r -t 60 _ <&3 || exit
    [ $((sent + 128)) -ge "$size" ] || dd if="$image" bs=128 skip=$((sent / 128 + 1)) count=1 status=none >&3
done
read -r -t 60 _ booted <&3

echo "$booted"
[ "$booted" = "$wanted" ]
