#!/bin/sh
# usage: load.sh MILLICORES [SECONDS]   uses that much CPU, steadily; ends after SECONDS, if given
#        load.sh half-of FILE           uses half of the CPU time that FILE counts, in microseconds
# All of it by the kernel's own accounting of the container it runs in: what the machine keeps from it for a while
# is made up for. With TELL=FILE in the environment it writes its CPU time there. It forks nothing: reading a pipe
# that nobody writes to is its sleep.
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

if [ "$1" = half-of ]; then
    read_leader_us() { # whoever writes the file empties it first
        until read -r leader_us < "$1" && [ -n "$leader_us" ]; do sleep 0.01; done 2> /dev/null
    }
    read_leader_us "$2"
    leader_before_us=$leader_us
    wanted_us() {
        read_leader_us "$2"
        wanted_us=$(((leader_us - leader_before_us) / 2))
    }
else
    wanted_us() { wanted_us=$(((now_us - began_us) * $1 / 1000)); }
fi

read_now_us
read_used_us
began_us=$now_us
before_us=$used_us
until_us=$((now_us + 100000000000000))
[ "$1" = half-of ] || [ -z "$2" ] || until_us=$((now_us + $2 * 1000000))
while [ "$now_us" -lt "$until_us" ]; do
    wanted_us "$@"
    read_used_us
    [ -z "$TELL" ] || echo "$used_us" > "$TELL"
    while [ $((used_us - before_us)) -lt "$wanted_us" ]; do
        turn=0
        while [ "$turn" -lt 500 ]; do turn=$((turn + 1)); done
        read_used_us
        [ -z "$TELL" ] || echo "$used_us" > "$TELL"
    done
    # shellcheck disable=SC3045 # busybox's shell has it
    read -r -t 0.02 _ <&3
    read_now_us
done
