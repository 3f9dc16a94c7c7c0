"""The real command line as a subprocess, with a home directory of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

SRC = Path(__file__).parents[2] / "src"
ODD_NAME = b"odd\xff\x1b[31m\nname"
"""No UTF-8, a colour code and a line break: nothing that may reach a terminal as it is."""


@dataclass
class Done:
    """What a run of `pal` left: exit code and both streams, as bytes and as text."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def result(self) -> Any:
        return self.object["result"]

    @property
    def object(self) -> Any:
        """The one JSON object on stdout."""
        assert self.stdout.count(b"\n") == 1, self.out
        return json.loads(self.stdout)

    @property
    def error(self) -> Any:
        """The one JSON error on stderr."""
        assert self.stderr.count(b"\n") == 1, self.err
        return json.loads(self.stderr)["error"]


class Pal:
    """Runs `pal`; every run must end with the exit code that is asked for, without a traceback."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir(exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(SRC),
            # What an interruption leaves open, the garbage collector closes.
            "PYTHONWARNINGS": "error,ignore::ResourceWarning",
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
        }

    def __call__(
        self, *arguments: str | bytes | Path, code: int = 0, env: dict[str, str] | None = None,
        **options: Any,
    ) -> Done:  # fmt: skip
        ran = subprocess.run(
            self.command(*arguments), cwd=self.root, env={**self.environment, **(env or {})},
            timeout=240, check=False, **{"capture_output": True, **options},
        )  # fmt: skip
        done = Done(ran.returncode, ran.stdout or b"", ran.stderr or b"")
        assert b"Traceback" not in done.stderr, done.err
        assert b"bug in palatine" not in done.stderr, done.err
        assert done.code == code, f"{arguments}: {done.code}\n{done.out}\n{done.err}"
        return done

    def start(self, *arguments: str | bytes | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start it and go on."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.root, env=self.environment,
            # a shell that runs the tests in the background has them ignore Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip

    def command(self, *arguments: str | bytes | Path) -> list[str | bytes]:
        """Return what the operating system is to run."""
        words = [one if isinstance(one, bytes) else str(one) for one in arguments]
        return [sys.executable, "-m", "palatine", *words]

    @property
    def repository(self) -> Path:
        """Where the default repository lies."""
        return self.home / "data" / "palatine" / "repository"

    def packs(self) -> list[Path]:
        """Return the files of the packs."""
        return sorted(one for one in (self.repository / "packs").rglob("*") if one.is_file())


def make_palace(palace: Path) -> Path:
    """Write a small palace with one of everything."""
    (palace / "notes").mkdir(parents=True)
    (palace / "empty").mkdir()
    (palace / "notes" / "a.md").write_text("first\n")
    (palace / "big.bin").write_bytes(Random(1).randbytes(300_000))
    (palace / "link").symlink_to("big.bin")
    Path(os.fsdecode(os.fsencode(palace) + b"/" + ODD_NAME)).write_bytes(b"odd")
    return palace


def live(palace: Path) -> None:
    """Change, rename, add and remove a file each."""
    (palace / "notes" / "a.md").write_text("first\nsecond\n")
    (palace / "big.bin").rename(palace / "large.bin")
    (palace / "new.txt").write_text("new")
    (palace / "link").unlink()


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    """`pal` in an empty home."""
    return Pal(tmp_path)


@pytest.fixture
def alpha(tmp_path: Path) -> Path:
    """A small palace, not snapshotted yet."""
    return make_palace(tmp_path / "alpha")


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Pal:
    """`pal` with two snapshots of alpha, only to be looked at."""
    pal = Pal(tmp_path_factory.mktemp("kept"))
    palace = make_palace(pal.root / "alpha")
    pal("snapshot", palace, "-m", "the first", "--tag", "keep")
    live(palace)
    pal("snapshot", palace, "-m", "the second")
    return pal


@pytest.fixture
def own(kept: Pal, tmp_path: Path) -> Pal:
    """The same, to be changed at will (its palace lies elsewhere than it did)."""
    root = tmp_path / "own"
    shutil.copytree(kept.root, root, symlinks=True)
    return Pal(root)
