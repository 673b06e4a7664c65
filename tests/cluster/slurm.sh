#!/usr/bin/env bash
# A real Slurm of one node on loopback, all of it in one folder: `slurm.sh FOLDER [KILL_WAIT_S]`. It says `ready` when it
# is, and ends when its standard input does. Slurm's commands find it by SLURM_CONF=FOLDER/slurm.conf.
# Needs root and Debian's slurm-wlm and munge; no systemd, no cgroups, nothing in /etc.
set -euo pipefail

folder=$(readlink -f "$1")
kill_wait_s=${2:-30}
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$folder/slurm.conf

free_ports() {
    python3 -c 'import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))'
}

write_configuration() {
    local ports
    read -r -a ports <<<"$(free_ports)"
    cat >"$SLURM_CONF" <<END
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=$kill_wait_s
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5
NodeName=loopback NodeHostname=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000 State=UNKNOWN
PartitionName=short Nodes=loopback Default=YES MaxTime=60 State=UP
END
}

end() {
    trap - EXIT
    scancel --full --signal=KILL --quiet --me 2>/dev/null || true
    scancel --quiet --me 2>/dev/null || true
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}

mkdir -p "$folder/state" "$folder/spool"
write_configuration
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
chmod 600 "$folder/munge.key"
pids=()
trap end EXIT
trap 'exit 0' TERM INT HUP
munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" \
    --num-threads=2 >>"$folder/munged.out" 2>&1 &
pids=($!)
slurmctld -D -c >>"$folder/slurmctld.out" 2>&1 &
pids=($! "${pids[@]}")
slurmd -D -c -N loopback >>"$folder/slurmd.out" 2>&1 &
pids=($! "${pids[@]}")
for _ in $(seq 150); do
    if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
        echo ready
        cat >/dev/null
        exit 0
    fi
    sleep 0.1
done
echo "the node does not become idle: $(tail --quiet --lines=2 "$folder"/slurm*.log | tr '\n' ' ')"
exit 1
