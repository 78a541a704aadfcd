"""Known loads, as programs for `python -c`; each runs until it is killed."""

SHORT_PROCESSES = """
import os, sys, time
program, pause = sys.argv[1], 1 / float(200)
due = time.monotonic()
while True:
    pid = os.posix_spawn(program, [program], {})
    os.waitpid(pid, 0)
    due += pause
    time.sleep(max(0, due - time.monotonic()))
"""

# argv: the folders of the two threaded cgroups, one pair of lists per hierarchy, joined by ":"
TWO_THREADS = """
import sys, threading, time
def spin(files):
    for file in files:
        with open(file, "w") as f:
            f.write(str(threading.get_native_id()))
    while True:
        for _ in range(200000): pass
for files in sys.argv[1:]:
    threading.Thread(target=spin, args=(files.split(":"),), daemon=True).start()
time.sleep(3600)
"""

# argv: file to write the second process's pid to is the parent's business; both ends pinned by the caller
PING_PONG = """
import os, sys
there, back = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    for file in sys.argv[1:]:
        with open(file, "w") as f:
            f.write("0")
    while True:
        os.read(there[0], 1)
        os.write(back[1], b"x")
while True:
    os.write(there[1], b"x")
    os.read(back[0], 1)
"""

# touches new pages and gives them back, with some arithmetic between: page faults to count
PAGE_FAULTS = """
import mmap
while True:
    with mmap.mmap(-1, 400 * 4096) as pages:
        for page in range(400):
            pages[page * 4096] = 1
"""

# argv: CPU seconds a second; what the machine keeps from it for a while is made up for
STEADY = """
import sys, time
share, began = float(sys.argv[1]), time.monotonic()
while True:
    due = share * (time.monotonic() - began)
    while time.process_time() < due:
        for _ in range(2000): pass
    time.sleep(0.02)
"""

# argv: pid to follow, ratio: uses that many CPU seconds for each of the other's, whatever the machine allows.
# The clock is the kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
FOLLOWER = """
import sys, time
clock = (~int(sys.argv[1]) << 3) | 2
ratio, began, own = float(sys.argv[2]), time.clock_gettime(clock), time.process_time()
while True:
    due = ratio * (time.clock_gettime(clock) - began)
    while time.process_time() - own < due:
        for _ in range(500): pass
    time.sleep(0.01)
"""

# argv: period, and how much of it to be busy for, from which part of it on; seconds of CLOCK_MONOTONIC
PHASES = """
import sys, time
period, busy, offset = map(float, sys.argv[1:])
while True:
    now = time.monotonic()
    start = now - now % period + offset
    if now > start + busy / 2:
        start += period
    time.sleep(max(0, start - now))
    while time.monotonic() < start + busy: pass
"""
