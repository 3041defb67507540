#!/bin/sh
# mkbase.sh SUITE: make the local image syscr-base:SUITE, by `docker pull` where a registry answers,
# else by debootstrap (root). Never tags anything as debian:SUITE: that name is Docker's own.
# MIRROR: the Debian mirror for debootstrap; default: the one this machine's apt uses, else debootstrap's own.
set -eu

suite=${1:?which Debian suite?}
image=syscr-base:$suite
here=$(cd "$(dirname "$0")" && pwd)
state=$here/.state

if docker image inspect "$image" >/dev/null 2>&1; then exit 0; fi

# not `timeout docker pull` alone: a registry that swallows packets must not hold us up for long
if timeout "${SYSCR_PULL_TIMEOUT:-60}" docker pull -q "debian:$suite" >/dev/null 2>&1 </dev/null; then
    docker tag "debian:$suite" "$image"
    echo "base: $image, from docker pull debian:$suite"
    exit 0
fi

fail() { echo "mkbase.sh: $*" >&2; exit 1; }
hint="no registry gave debian:$suite, and debootstrap"
[ "$(id -u)" = 0 ] || fail "$hint needs root: run as root once, or load an image and tag it $image"
command -v debootstrap >/dev/null || fail "$hint is not installed: run host-setup.sh"
mirror=${MIRROR:-$("$here/host-setup.sh" --mirror)}
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid

mkdir -p "$state"
log=$state/debootstrap-$suite.log
dir=$(mktemp -d "${TMPDIR:-/tmp}/syscr-base.XXXXXX")
trap 'rm -rf --one-file-system "$dir"' EXIT
trap 'exit 130' INT TERM
echo "base: debootstrap $suite (half a minute; log: $log)"
timeout 900 debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$mirror" "$script" \
    >"$log" 2>&1 </dev/null || { tail -n 15 "$log" >&2; fail "debootstrap failed, see $log"; }
rm -rf "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*
tar -C "$dir" --one-file-system -c . | docker import --change 'CMD ["/bin/bash"]' - "$image" >/dev/null
echo "base: $image, from debootstrap"
