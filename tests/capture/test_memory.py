"""A directory of a million files in 150 MB, each command in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from tests.support import Place, count

FILES = count(30_000, 1_000_000)
LIMIT_MB = 150
PROGRAM = """
import re, sys
from pathlib import Path
import palatine
repository, cache, palace, target, what = sys.argv[1:]
with palatine.open_repository(repository, cache=cache) as opened:
    if what == "snapshot":
        opened.snapshot(palace)
    elif what == "restore":
        opened.restore("palace", target)
    elif what == "verify":
        assert opened.verify(data=True).ok
    elif what == "list":
        assert sum(1 for _ in opened.ls("palace")) > 1000
    else:
        opened.diff_directory("palace", palace)
# not ru_maxrss: that begins with the peak of the process that started this one
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def peak_mb(place: Place, what: str) -> int:
    target = place.root / "target"
    arguments = [place.repository, place.cache, place.palace, target, what]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_memory_is_bounded_in_a_huge_directory(place: Place) -> None:
    here = os.open(place.palace, os.O_RDONLY)
    for number in range(FILES):
        fd = os.open(f"name-{number:07d}.md", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(fd, b"%d" % number)
        os.close(fd)
    os.close(here)
    peaks = {"first snapshot": peak_mb(place, "snapshot")}
    peaks["unchanged"] = peak_mb(place, "snapshot")
    (place.palace / "name-0000500.md").write_bytes(b"changed")
    peaks["changed"] = peak_mb(place, "snapshot")
    for what in ("restore", "verify", "list", "diff"):
        peaks[what] = peak_mb(place, what)
    shutil.rmtree(place.root / "target")
    assert {what: peak for what, peak in peaks.items() if peak > LIMIT_MB} == {}
