#!/bin/sh
# host-setup.sh: make this machine able to build and run the test cluster. Debian, root. Safe to repeat.
#   host-setup.sh                install what is missing, start dockerd when no Docker answers
#   host-setup.sh --check        only say what is missing; exit 1 if anything is
#   host-setup.sh --mirror       print the Debian mirror that this machine's apt uses, if any
#   host-setup.sh --stop-docker  stop dockerd, if it was this script that started it
# Exit codes: 0 ready, 1 something failed or is missing, 2 wrong usage, 3 can't be done here (not root, not Debian).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
state=$here/.state
# beside Docker's own: who started it, so that another checkout of this repository knows, too
started_by=/run/syscr-dockerd.pid
log_file=$state/dockerd.log
export DEBIAN_FRONTEND=noninteractive
exec </dev/null                                   # nothing here may ask

say() { echo "host-setup: $*"; }
fail() { echo "host-setup: $1" >&2; [ -z "${2:-}" ] || echo "            $2" >&2; exit "${3:-1}"; }

has() { command -v "$1" >/dev/null 2>&1; }
docker_answers() { has docker && timeout 15 docker version >/dev/null 2>&1; }
has_compose() { timeout 15 docker compose version >/dev/null 2>&1 || has docker-compose; }
can_compile() { has gcc && [ -e /usr/include/stdlib.h ]; }
can_venv() { has python3 && python3 -c 'import venv, ensurepip' 2>/dev/null; }

# apt says what it would fetch without fetching; what serves this Debian's own suite is the mirror.
mirror() {
    has apt-get || return 0
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
    apt-get update --print-uris 2>/dev/null |
        sed -n "s!^'\\(.*\\)/dists/\\($suite\\|stable\\|testing\\|sid\\|unstable\\)/.*!\\1!p" | head -n 1
}

# The packages of what this machine lacks, one a line.
missing_packages() {
    if ! docker_answers; then
        { has dockerd && has docker; } || echo docker.io
        has iptables || echo iptables
    fi
    has_compose || echo docker-compose
    has debootstrap || echo debootstrap
    can_venv || echo python3-venv
    can_compile || printf '%s\n' gcc libc6-dev
}

install_packages() {
    # since Debian 13 the client is a package of its own
    if echo "$*" | grep -qw docker.io && apt-cache policy docker-cli 2>/dev/null | grep -q 'Candidate: [0-9]'; then
        set -- "$@" docker-cli
    fi
    timeout 600 apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

install_missing() {
    missing=$(missing_packages | sort -u | tr '\n' ' ')
    if [ -z "$missing" ]; then say "nothing to install"; return 0; fi
    has apt-get || fail "missing here: $missing" "this is no Debian: install these with your own tools, then try again" 3
    [ "$(id -u)" = 0 ] || fail "missing here: $missing" "only root can install them: sudo $0" 3
    say "installing: $missing"
    mkdir -p "$state"
    timeout 300 apt-get -q update -o DPkg::Lock::Timeout=120 >"$state/apt.log" 2>&1 ||
        say "apt-get update failed, trying with the lists there are (log: $state/apt.log)"
    # shellcheck disable=SC2086  # a list of words
    install_packages $missing >>"$state/apt.log" 2>&1 || {
        tail -n 15 "$state/apt.log" >&2
        fail "apt-get install failed" "the whole log: $state/apt.log"
    }
    left=$(missing_packages | sort -u | tr '\n' ' ')
    [ -z "$left" ] || fail "installed, but still missing: $left" "log: $state/apt.log"
}

wait_for_docker() {
    tries=240
    until docker_answers; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        if [ -n "${1:-}" ] && ! kill -0 "$1" 2>/dev/null; then return 1; fi
        sleep 0.25
    done
}

# A dockerd that was killed leaves pid files; once another process has the number, the next one won't start.
drop_stale_pid() {
    pid=$(cat "$1" 2>/dev/null || true)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$2" ]; then rm -f "$1"; fi
}

start_docker() {
    if docker_answers; then say "Docker answers"; return 0; fi
    [ "$(id -u)" = 0 ] || fail "Docker does not answer to $(id -un)" \
        "start it, or let an administrator add you to its group (or run this as root)" 3
    if [ -d /run/systemd/system ]; then
        say "starting docker.service"
        timeout 90 systemctl start docker || fail "docker.service does not start" "journalctl -u docker"
        wait_for_docker || fail "docker.service runs, but Docker does not answer" "journalctl -u docker"
        return 0
    fi
    mkdir -p "$state"
    say "starting dockerd (log: $log_file)"
    drop_stale_pid /run/docker.pid dockerd
    drop_stale_pid /run/docker/containerd/containerd.pid containerd
    # a session of its own: it outlives this script and the terminal
    setsid nohup dockerd >"$log_file" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$started_by"
    wait_for_docker "$pid" || { tail -n 15 "$log_file" >&2; rm -f "$started_by"; fail "dockerd did not come up" "log: $log_file"; }
}

stop_docker() {
    pid=$(cat "$started_by" 2>/dev/null || true)
    if [ -z "$pid" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != dockerd ]; then
        rm -f "$started_by"
        say "no dockerd that this script started"
        return 0
    fi
    kill "$pid"
    tries=120
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "dockerd ($pid) does not stop"
        sleep 0.25
    done
    rm -f "$started_by"
    say "dockerd stopped"
}

check() {
    missing=$(missing_packages | sort -u | tr '\n' ' ')
    [ -z "$missing" ] || say "missing: $missing"
    docker_answers || say "Docker does not answer"
    [ -z "$missing" ] && docker_answers && say "ready"
}

case ${1:-} in
'') install_missing; start_docker; say "ready" ;;
--check) check ;;
--mirror) mirror ;;
--stop-docker) stop_docker ;;
-h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" ;;
*) fail "unknown: $1" "see $0 --help" 2 ;;
esac
