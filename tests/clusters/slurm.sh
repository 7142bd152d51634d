#!/usr/bin/env bash
# A real SLURM of one node, this machine, from Debian's packages: munge, slurmctld and slurmd as root, all their files below one folder.
#   slurm.sh FOLDER COMMAND...    installs what is missing, starts the daemons, runs COMMAND with SLURM_CONF set, stops the daemons
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "error: a SLURM of one's own needs root and Debian's packages; on a cluster that has one, say hydra/launcher=slurm" >&2
  exit 2
fi
missing=()
for pair in munged:munge slurmctld:slurmctld slurmd:slurmd sbatch:slurm-client; do
  command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}" >&2
  apt-get update -qq
  # policy-rc.d keeps the packages from starting daemons.
  printf '#!/bin/sh\nexit 101\n' > "$folder/policy-rc.d" && chmod +x "$folder/policy-rc.d"
  moved=""
  if [ ! -e /usr/sbin/policy-rc.d ]; then cp "$folder/policy-rc.d" /usr/sbin/policy-rc.d; moved=1; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" > "$folder/apt.log" || { tail -5 "$folder/apt.log" >&2; exit 1; }
  if [ -n "$moved" ]; then rm -f /usr/sbin/policy-rc.d; fi
fi

node=$(hostname -s)
rm -rf "$folder"/{state,spool} && mkdir -p "$folder"/{state,spool} # drop jobs of an earlier run
head -c 1024 /dev/urandom > "$folder/munge.key" && chmod 600 "$folder/munge.key"
# cred_expire: seconds that a requeued job waits before it starts again; the default is 120.
cat > "$folder/slurm.conf" <<CONF
ClusterName=bench
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge=300
NodeName=$node NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(free -m | awk '/^Mem:/ {print int($2 * 0.9)}') State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf

daemons=()
stop() {
  for pid in "${daemons[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${daemons[@]}"; do wait "$pid" 2> /dev/null || true; done
}
trap stop EXIT
munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --seed-file="$folder/munge.seed" --log-file="$folder/munged.log" > "$folder/munged.out" 2>&1 &
daemons=($!)
for _ in $(seq 50); do [ -S "$folder/munge.socket" ] && break; sleep 0.1; done
slurmctld -D > "$folder/slurmctld.out" 2>&1 &
daemons=($! "${daemons[@]}")
slurmd -D > "$folder/slurmd.out" 2>&1 &
daemons=($! "${daemons[@]}")
for _ in $(seq 60); do
  [ "$(sinfo --noheader --format=%t 2> /dev/null)" = idle ] && break
  sleep 0.5
done
if ! sinfo --noheader --format='%n %t %c cores %m MB' 2> /dev/null | grep -q idle; then
  echo "error: no idle node after 30 s; see $folder" >&2
  tail -n 3 "$folder"/{munged,slurmctld,slurmd}.out >&2
  exit 1
fi
echo "SLURM $(sinfo --version | cut -d' ' -f2): $(sinfo --noheader --format='%n, %t, %c cores, %m MB')" >&2
"$@"
