#!/bin/sh
# entrypoint.sh ROLE   mariadb | slurmdbd | slurmctld | slurmd | login; anything else is run as it is
# entrypoint.sh health asks this container's daemon whether it serves (Docker's health check)
# entrypoint.sh probe  says whether proctrack/cgroup can work in a container on this machine
set -eu

here=/etc/slurm-test-cluster
role_file=/run/syscr-role

log() { echo "entrypoint: $*" >&2; }
die() { log "$*"; exit 1; }

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds, quietly
wait_for() {
    tries=$(($1 * 4)); what=$2; shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "gave up waiting for $what"
        sleep 0.25
    done
}

# "slurm-wlm 24.11.5" or "slurm 24.11.5" -> 24
slurm_major() { slurmctld -V | sed 's/^[a-z-]* *//; s/\..*//'; }

render_config() {
    major=$(slurm_major)
    case ${PROCTRACK:=linuxproc} in
    cgroup)
        proctrack=proctrack/cgroup task=task/cgroup gather=jobacct_gather/cgroup
        plugin='CgroupPlugin=cgroup/v1'
        [ "$major" -ge 21 ] || plugin=
        sed "s|@PLUGIN@|$plugin|" "$here/cgroup.conf.v1" >/etc/slurm/cgroup.conf ;;
    linuxproc)
        proctrack=proctrack/linuxproc task=task/none gather=jobacct_gather/linux
        rm -f /etc/slurm/cgroup.conf
        [ "$major" -lt 23 ] || cp "$here/cgroup.conf.disabled" /etc/slurm/cgroup.conf ;;
    *) die "PROCTRACK=$PROCTRACK: cgroup or linuxproc is meant" ;;
    esac
    sed -e "s|@PROCTRACK@|$proctrack|; s|@TASK@|$task|; s|@GATHER@|$gather|" \
        "$here/slurm.conf.in" >/etc/slurm/slurm.conf
    if [ -n "${EXTRA_CONF:-}" ]; then printf '%b\n' "$EXTRA_CONF" >>/etc/slurm/slurm.conf; fi
    cp "$here/slurmdbd.conf.in" /etc/slurm/slurmdbd.conf
    chown slurm:slurm /etc/slurm/slurmdbd.conf
    chmod 600 /etc/slurm/slurmdbd.conf
}

# One key per project, whoever is first: ln never replaces an existing file.
start_munge() {
    chown munge:munge /etc/munge
    chmod 700 /etc/munge
    if [ ! -e /etc/munge/munge.key ]; then
        new=/etc/munge/.key.$(hostname)
        (umask 077 && head -c 1024 /dev/urandom >"$new")
        chown munge:munge "$new"
        ln "$new" /etc/munge/munge.key 2>/dev/null || true
        rm -f "$new"
    fi
    install -d -m 755 -o munge -g munge /run/munge /var/lib/munge /var/log/munge
    rm -f /run/munge/munge.socket* /run/munge/munged.pid
    runuser -u munge -- /usr/sbin/munged
    wait_for 10 munge munge -n
}

# Homes and /shared lie on volumes that start empty; every container that mounts them may be first.
make_homes() {
    for user in alice bob; do
        install -d -m 700 -o "$user" -g "$user" "/home/$user"
        for file in /etc/skel/.[a-z]*; do
            to=/home/$user/${file##*/}
            [ -e "$to" ] && continue
            # aside first: two that make the same file fail each other
            install -m 644 -o "$user" -g "$user" "$file" "$to.$(hostname)"
            mv -f "$to.$(hostname)" "$to"
        done
    done
    chmod 1777 /shared
}

# Docker binds the container's own subtree of each v1 controller, read-only.
open_cgroups() {
    for dir in /sys/fs/cgroup/*; do
        if mountpoint -q "$dir"; then mount -o remount,rw,bind "$dir"; fi
    done
}

# Docker covers parts of /proc; a new /proc in a user namespace is refused while they are covered.
uncover_proc() {
    # deepest first
    awk '$2 ~ "^/proc/" {print $2}' /proc/mounts | sort -r | while read -r dir; do umount "$dir"; done
}

# What is missing for proctrack/cgroup here; nothing printed: it can work.
why_no_cgroup() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        echo "this machine has only cgroup version 2, which Slurm can't use in a container without systemd"
        return
    fi
    open_cgroups 2>/dev/null || { echo "the cgroup subtrees can't be made writable"; return; }
    for controller in freezer memory cpuset cpuacct; do
        test=/sys/fs/cgroup/$controller/syscr-probe
        if ! mkdir "$test" 2>/dev/null; then echo "no writable cgroup controller $controller"; return; fi
        rmdir "$test"
    done
}

add_accounts() {
    # sacctmgr fails when the entity is there already
    sacctmgr -n -P show cluster format=cluster | grep -qx syscr || sacctmgr -i add cluster syscr
    sacctmgr -n -P show account research format=account | grep -qx research ||
        sacctmgr -i add account research Description=tests Organization=syscr
    for user in alice bob; do
        sacctmgr -n -P show user "$user" format=user | grep -qx "$user" ||
            sacctmgr -i add user "$user" Account=research
    done
}

health() {
    case $(cat "$role_file") in
    mariadb) mariadb -e 'select 1' ;;
    slurmdbd) sacctmgr -n -P show cluster format=cluster ;;
    slurmctld | login) scontrol ping | grep 'is UP' ;;
    slurmd) scontrol show node "$(hostname -s)" | grep -E ' State=(IDLE|MIXED|ALLOCATED|COMPLETING)[A-Z+]* ' ;;
    esac
}

role=${1:-login}
case $role in
health) health; exit ;;
probe)
    why=$(why_no_cgroup)
    if [ -z "$why" ]; then echo cgroup; else echo "linuxproc: $why"; fi
    exit ;;
mariadb | slurmdbd | slurmctld | slurmd | login) echo "$role" >"$role_file" ;;
*) exec "$@" ;;
esac

# MariaDB's socket is the one volume both know, under the name of old (mysqld) and the one since sid (mariadbd).
case $role in
mariadb | slurmdbd)
    rm -rf /run/mariadbd
    ln -s mysqld /run/mariadbd ;;
esac

if [ "$role" = mariadb ]; then
    install -d -m 755 -o mysql -g mysql /run/mysqld
    # The socket is enough: no port. Sizes as slurmdbd wants them; a test need not survive a power cut.
    exec mariadbd --user=mysql --socket=/run/mysqld/mysqld.sock --skip-networking --init-file="$here/mariadb.sql" \
        --innodb-buffer-pool-size=128M --innodb-lock-wait-timeout=900 \
        --innodb-flush-log-at-trx-commit=2 --loose-innodb-snapshot-isolation=OFF
fi

render_config
start_munge
case $role in
slurmdbd)
    wait_for 60 MariaDB runuser -u slurm -- mariadb -e 'use slurm_acct_db'
    # as slurm from the start: 20.11 would open the database as root, before it changes its user
    install -d -m 755 -o slurm -g slurm /run/slurm
    exec setpriv --reuid=slurm --regid=slurm --init-groups -- slurmdbd -D ;;
slurmctld)
    # 20.11 and 22.05 die ("no TRES") when slurmdbd is not up at their very first start
    wait_for 90 slurmdbd sacctmgr -n show cluster
    add_accounts
    install -d -m 755 -o slurm -g slurm /var/spool/slurmctld
    exec slurmctld -D ;;
slurmd)
    make_homes
    [ "$PROCTRACK" != cgroup ] || open_cgroups
    uncover_proc
    exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin -- slurmd -D -N "$(hostname -s)" ;;
login)
    make_homes
    exec sleep infinity ;;
esac
