#!/bin/sh
# usage: load.sh MILLICORES [SECONDS]: uses that much CPU, steadily, by the kernel's own accounting of the
# container it runs in; what the machine keeps from it for a while is made up for. Ends after SECONDS, if given.
# It forks nothing: reading a pipe that nobody writes to is its sleep.
mkfifo /never
exec 3<>/never

if [ -e /sys/fs/cgroup/cpu.stat ]; then
    read_used_us() { read -r _ used_us < /sys/fs/cgroup/cpu.stat; }
else
    read_used_us() {
        read -r used_ns < /sys/fs/cgroup/cpuacct/cpuacct.usage
        used_us=$((used_ns / 1000))
    }
fi

read_now_us() { # /proc/uptime counts hundredths; the 1 before them keeps 08 from being octal
    read -r uptime _ < /proc/uptime
    now_us=$((${uptime%.*} * 1000000 + 1${uptime#*.} * 10000 - 1000000))
}

read_now_us
read_used_us
began_us=$now_us
before_us=$used_us
until_us=$((now_us + ${2:-100000000} * 1000000))
while [ "$now_us" -lt "$until_us" ]; do
    due_us=$((before_us + (now_us - began_us) * $1 / 1000))
    read_used_us
    while [ "$used_us" -lt "$due_us" ]; do
        turn=0
        while [ "$turn" -lt 200 ]; do turn=$((turn + 1)); done
        read_used_us
    done
    # shellcheck disable=SC3045 # busybox's shell has it
    read -r -t 0.02 _ <&3
    read_now_us
done
