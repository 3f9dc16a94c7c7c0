"""Run one command and print what it cost, as JSON: the innermost part of the race.

A process of its own, because the kernel counts the memory of whoever starts a program into that
program's peak; this one is small (about 9 MB), so that is the smallest peak it can report.
"""

import json
import os
import sys
import time


def main() -> None:
    """`spawn.py STDOUT STDERR PROGRAM ARGUMENT…`: both outputs go to files."""
    stdout, stderr, *command = sys.argv[1:]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, stdout, flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, stderr, flags, 0o600),
    ]
    begin = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    report = {
        "status": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
