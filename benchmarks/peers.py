"""The contestants: one class each, all with the same few operations.

An instance is one repository in a folder of its own, with its own cache, home and settings, so
that nothing of the user's configuration is read and no two repositories share a cache.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from measure import NOTHING, Command, Usage, measure
from trees import bytes_in


class Contestant(ABC):
    """A program that keeps snapshots of a directory.

    `name` is what the tables call it, `settings` how it is run; `verifies` says whether it can
    check what it stored.
    """

    name: str
    settings: str
    verifies = True

    def __init__(self, base: Path, source: Path) -> None:
        self.base = base
        self.source = source
        self.repository = base / "repository"

    @staticmethod
    @abstractmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""

    @abstractmethod
    def commands_init(self) -> list[list[str]]:
        """What makes the empty repository."""

    @abstractmethod
    def commands_snapshot(self, label: str) -> list[list[str]]:
        """What takes a snapshot of the source; runs in the source."""

    @abstractmethod
    def commands_restore(self, target: Path) -> list[list[str]]:
        """What restores the newest snapshot; runs in `target`, an empty directory."""

    def commands_verify(self) -> list[list[str]]:
        """What reads and checks all stored data."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Variables of its own, besides those that every contestant gets."""
        return {}

    def init(self) -> Usage:
        """Make the repository."""
        for folder in (self.base / "home", self.base / "cache"):
            folder.mkdir(parents=True)
        return self.run(self.commands_init(), self.base)

    def snapshot(self, label: str) -> Usage:
        """Take a snapshot of the source."""
        return self.run(self.commands_snapshot(label), self.source)

    def restore(self, target: Path) -> Usage:
        """Restore the newest snapshot into `target`, which exists and is empty."""
        return self.run(self.commands_restore(target), target)

    def verify(self) -> Usage:
        """Read and check all stored data."""
        return self.run(self.commands_verify(), self.base)

    def size(self) -> int:
        """Bytes in the repository, caches not counted."""
        return bytes_in(self.repository)

    def stored(self, before: int, after: int) -> int:
        """Bytes that a snapshot added, given the repository's size before and after it."""
        return after - before

    def run(self, commands: list[list[str]], folder: Path) -> Usage:
        """Run commands one after the other and add up what they cost."""
        usage = NOTHING
        for arguments in commands:
            command = Command(tuple(arguments), folder, self.all_variables())
            usage += measure(command, self.base)
        return usage

    def all_variables(self) -> dict[str, str]:
        """The whole environment of its commands."""
        return {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.base / "home"),
            "XDG_CACHE_HOME": str(self.base / "cache"),
            "XDG_CONFIG_HOME": str(self.base / "home" / "config"),
            "XDG_DATA_HOME": str(self.base / "home" / "data"),
            **self.environment(),
        }


class Palatine(Contestant):
    """The source, all palaces in one directory, is one palace to it, as it is one to the others."""

    name = "palatine"
    settings = "defaults (blake3, zstd level 3); a restore is durable on disk when it ends"

    @staticmethod
    def program() -> str | None:
        """The `pal` beside this interpreter, else the one on the PATH."""
        beside = Path(sys.executable).with_name("pal")
        return str(beside) if beside.exists() else shutil.which("pal")

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        return first_line([Palatine.program() or "pal", "--version"])

    def pal(self, *arguments: str) -> list[str]:
        """A command line of pal on this repository."""
        return [self.program() or "pal", "--repo", str(self.repository), *arguments]

    def commands_init(self) -> list[list[str]]:
        """What makes the empty repository."""
        return [self.pal("init", "-q")]

    def commands_snapshot(self, label: str) -> list[list[str]]:
        """What takes a snapshot of the source; palatine needs no label."""
        del label
        return [self.pal("snapshot", "-q", str(self.source))]

    def commands_restore(self, target: Path, back: int = 0) -> list[list[str]]:
        """What restores the snapshot that lies `back` snapshots before the newest."""
        name = self.source.name
        return [self.pal("restore", "-q", f"{name}~{back}" if back else name, str(target))]

    def commands_verify(self) -> list[list[str]]:
        """What reads and checks all stored data."""
        return [self.pal("verify", "-q", "--data")]


class Restic(Contestant):
    """restic with its cache."""

    name = "restic"
    settings = "repository version 2, compression auto, cache enabled, fixed host"

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        line = first_line(["restic", "version"])
        return line and " ".join(line.split()[:2])

    def environment(self) -> dict[str, str]:
        """Where things are, and a password: restic always encrypts."""
        return {
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_CACHE_DIR": str(self.base / "cache"),
            "RESTIC_PASSWORD": "race",
        }

    def commands_init(self) -> list[list[str]]:
        """What makes the empty repository."""
        return [["restic", "init", "-q", "--repository-version", "2"]]

    def commands_snapshot(self, label: str) -> list[list[str]]:
        """What takes a snapshot of the source."""
        return [["restic", "backup", "-q", "--host", "race", "--tag", label, "."]]

    def commands_restore(self, target: Path) -> list[list[str]]:
        """What restores the newest snapshot."""
        return [["restic", "restore", "-q", "latest", "--target", str(target)]]

    def commands_verify(self) -> list[list[str]]:
        """What reads and checks all stored data."""
        return [["restic", "check", "-q", "--read-data"]]


class Borg(Contestant):
    """borg without encryption, the fastest it can be."""

    name = "borg"
    settings = "encryption none, compression zstd,3"

    def __init__(self, base: Path, source: Path) -> None:
        super().__init__(base, source)
        self._newest = ""

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        return first_line(["borg", "--version"])

    def environment(self) -> dict[str, str]:
        """Where things are, and consent to a repository without encryption."""
        return {
            "BORG_REPO": str(self.repository),
            "BORG_BASE_DIR": str(self.base / "home"),
            "BORG_CACHE_DIR": str(self.base / "cache"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_HOSTNAME_IS_UNIQUE": "yes",
        }

    def commands_init(self) -> list[list[str]]:
        """What makes the empty repository."""
        return [["borg", "init", "-e", "none"]]

    def commands_snapshot(self, label: str) -> list[list[str]]:
        """What takes a snapshot of the source."""
        self._newest = label
        return [["borg", "create", "-C", "zstd,3", f"::{label}", "."]]

    def commands_restore(self, target: Path) -> list[list[str]]:
        """What restores the newest snapshot, into the working directory."""
        del target
        return [["borg", "extract", f"::{self._newest}"]]

    def commands_verify(self) -> list[list[str]]:
        """What reads and checks all stored data."""
        return [["borg", "check", "--verify-data"]]


class Tar(Contestant):
    """One compressed archive, always the whole: the floor that the others are compared with."""

    name = "tar"
    settings = (
        "tar --format=posix (times in ns) piped to zstd -3 -T2; no fsync; only the newest kept"
    )
    verifies = False

    @staticmethod
    def version() -> str | None:
        """The versions in words, or None if a program is not here."""
        tar, zstd = first_line(["tar", "--version"]), first_line(["zstd", "--version"])
        return f"{tar.split()[-1]}, zstd {zstd.split(',')[0].split()[-1]}" if tar and zstd else None

    def commands_init(self) -> list[list[str]]:
        """What makes the empty repository."""
        return [["mkdir", str(self.repository)]]

    def commands_snapshot(self, label: str) -> list[list[str]]:
        """What takes a snapshot of the source, in place of the one before."""
        del label
        return [_pipe(f"tar --format=posix -cf - . | zstd -q -f -3 -T2 -o {self._archive()}")]

    def commands_restore(self, target: Path) -> list[list[str]]:
        """What restores the newest snapshot, into the working directory."""
        del target
        return [_pipe(f"zstd -q -dc {self._archive()} | tar -xpf -")]

    def stored(self, before: int, after: int) -> int:
        """The whole archive, which takes the place of the one before."""
        del before
        return after

    def _archive(self) -> str:
        return shlex.quote(str(self.repository / "archive.tar.zst"))


CONTESTANTS: dict[str, type[Contestant]] = {
    contestant.name: contestant for contestant in (Palatine, Restic, Borg, Tar)
}


def _pipe(line: str) -> list[str]:
    return ["bash", "-c", f"set -o pipefail; {line}"]


def first_line(command: list[str]) -> str | None:
    """Return the first line that a command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0]
