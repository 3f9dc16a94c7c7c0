"""What a command costs: wall-clock time, processor time, peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trees import files_below

_SPAWN = Path(__file__).with_name("spawn.py")
_TIMEOUT = 3_600.0


class StepFailedError(Exception):
    """A contestant's command ended with an error, or not at all."""


@dataclass(frozen=True)
class Usage:
    """Seconds of wall-clock time, seconds of user and system time, and peak memory in bytes.

    The peak is that of the largest process of the command's tree, not the sum over the tree.
    """

    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Two commands, one after the other."""
        return Usage(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


NOTHING = Usage()


@dataclass(frozen=True)
class Command:
    """A program with its arguments, where it runs, and its whole environment."""

    arguments: tuple[str, ...]
    folder: Path
    environment: dict[str, str]


def measure(command: Command, scratch: Path) -> Usage:
    """Run the command to its end; whatever it prints goes to files below `scratch`."""
    outputs = scratch / "stdout", scratch / "stderr"
    report = _supervise(command, outputs)
    if report["status"] != 0:
        tail = outputs[1].read_text(errors="replace").strip().splitlines()[-3:]
        program = Path(command.arguments[0]).name
        raise StepFailedError(f"{program} ended with {report['status']:.0f}: {' / '.join(tail)}")
    return Usage(report["wall"], report["cpu"], int(report["peak"]))


def settle(*folders: Path) -> None:
    """Read all files below into the page cache and write out what is dirty.

    Otherwise a contestant pays for the one before it: borg drops what it has read from the cache,
    and the first to read a new file pays for its time of access.
    """
    buffer = bytearray(1 << 20)
    for folder in folders:
        for entry in files_below(folder):
            if entry.is_file(follow_symlinks=False):
                descriptor = os.open(entry.path, os.O_RDONLY)
                while os.readv(descriptor, [buffer]):
                    pass
                os.close(descriptor)
    os.sync()


def _supervise(command: Command, outputs: tuple[Path, Path]) -> dict[str, float]:
    helper = [sys.executable, "-I", "-S", str(_SPAWN), *map(str, outputs), *command.arguments]
    with subprocess.Popen(
        helper,
        cwd=command.folder,
        env=command.environment,
        stdout=subprocess.PIPE,
        start_new_session=True,  # so that a command that hangs ends together with its children
    ) as process:
        try:
            printed, _ = process.communicate(timeout=_TIMEOUT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise StepFailedError(f"not done after {_TIMEOUT:.0f} s") from error
            raise
    if process.returncode != 0:
        raise StepFailedError(f"{command.arguments[0]} could not be started")
    report: dict[str, float] = json.loads(printed)
    return report
