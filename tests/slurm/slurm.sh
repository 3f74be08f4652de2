#!/bin/sh
# SLURM on this one machine, for a test: a controller, one node, and munge, all below one directory.
#
#   slurm.sh install      Debian's packages, if they are not there (as root)
#   slurm.sh start DIR    as root; prints where the configuration is: export SLURM_CONF=DIR/slurm.conf
#   slurm.sh stop DIR     ends everything that start has started
#
# Nothing in /etc is read or changed, and no systemd is needed. Everything listens on loopback.
set -eu

installed() {
    for program in munged slurmctld slurmd sbatch; do
        PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || return 1
    done
}

install() {
    installed && return
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends slurm-wlm munge
}

configure() { # DIR
    host=$(hostname -s)
    mkdir -p "$1/state" "$1/spool" "$1/munge"
    chmod 0711 "$1" "$1/munge"
    (umask 077 && head -c 1024 /dev/urandom >"$1/munge/key")
    cat >"$1/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((20000 + $$ % 10000 * 2))
SlurmdPort=$((20001 + $$ % 10000 * 2))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(free -m | awk '/^Mem:/ {print int($2 * 0.9)}')
PartitionName=short Nodes=$host Default=YES MaxTime=30 State=UP
END
}

start() { # DIR
    PATH="$PATH:/usr/sbin"
    configure "$1"
    munged --force --socket="$1/munge/socket" --key-file="$1/munge/key" --pid-file="$1/munge/pid" \
        --seed-file="$1/munge/seed" --log-file="$1/munge/log"
    slurmctld -c -f "$1/slurm.conf"
    slurmd -c -f "$1/slurm.conf"
    export SLURM_CONF="$1/slurm.conf"
    for _ in $(seq 60); do
        case $(sinfo --noheader --format=%T 2>&1) in idle) echo "$SLURM_CONF" && return ;; esac
        sleep 0.5
    done
    echo "slurm.sh: no idle node after 30 s; see $1/slurmctld.log and $1/slurmd.log" >&2
    stop "$1"
    exit 1
}

stop() { # DIR
    export SLURM_CONF="$1/slurm.conf"
    timeout 5 scancel --partition=short --full --quiet 2>/dev/null || true
    for file in slurmd.pid slurmctld.pid munge/pid; do
        [ -s "$1/$file" ] || continue
        pid=$(cat "$1/$file")
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 20); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
        kill -KILL "$pid" 2>/dev/null || true
    done
}

case "${1:-}" in
    install) install ;;
    start | stop) "$1" "${2:?slurm.sh $1 DIR}" ;;
    *) echo "usage: slurm.sh install | start DIR | stop DIR" >&2; exit 2 ;;
esac
