"""Programs that bring a copy to another host: one class each, all with the same few operations."""

from __future__ import annotations

import os
import shlex
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from measure import Command, Usage, measure
from palatine.testing.sshd import Sshd, travelled
from peers import Contestant, Palatine, Restic, first_line

PYTHONPATH = {"PYTHONPATH": path} if (path := os.environ.get("PYTHONPATH")) else {}


class Pal(Palatine):
    """palatine, from wherever this interpreter finds it."""

    def environment(self) -> dict[str, str]:
        """Variables of its own."""
        return PYTHONPATH


class Copier(ABC):
    """A program that copies what `keeper` keeps, or its source, to `target`.

    `name` is what the tables call it, `settings` how it is run; `keeps`: it copies a repository.
    """

    name: str
    settings: str
    keeps = True

    def __init__(self, keeper: Contestant, host: Sshd, targets: Path) -> None:
        self.keeper = keeper
        self.host = host
        self.targets = targets
        self.target = targets / "none"
        self._log = keeper.base / f"{self.name.replace(' ', '-')}.log"

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        return Palatine.version()

    def begin(self, number: int) -> None:
        """Make an empty target, of which there have been others before."""
        self.target = self.targets / f"{self.name.replace(' ', '-')}-{number}"
        for words in self.commands_begin():
            measure(Command(tuple(words), self.keeper.base, self.environment()), self.keeper.base)

    def copy(self) -> tuple[Usage, int]:
        """Copy; return what it cost, and the bytes that travelled: -1 if no host was involved."""
        self._log.unlink(missing_ok=True)
        command = Command(tuple(self.command()), self.keeper.base, self.environment())
        usage = measure(command, self.keeper.base)
        return usage, travelled(self._log) if self._log.exists() else -1

    def environment(self) -> dict[str, str]:
        """All variables."""
        return self.keeper.all_variables()

    @property
    def ssh(self) -> str:
        """The ssh command, which counts."""
        return self.host.counted(self._log)

    def commands_begin(self) -> list[list[str]]:
        """What makes the empty target."""
        return [["mkdir", str(self.target)]]

    @abstractmethod
    def command(self) -> list[str]:
        """What copies."""


class Push(Copier):
    """pal push, over ssh."""

    name = "pal push"
    settings = "defaults; what has arrived is durable when it ends"
    keeper: Pal

    def environment(self) -> dict[str, str]:
        """All variables."""
        return {**super().environment(), "PALATINE_SSH": self.ssh}

    def commands_begin(self) -> list[list[str]]:
        """What makes the empty repository."""
        return [[self.keeper.pal()[0], "init", "-q", "--repo", str(self.target)]]

    def command(self) -> list[str]:
        """What pushes."""
        return self.keeper.pal("push", "-q", f"ssh://far{self.target}")


class PushHere(Push):
    """pal push to a path."""

    name = "pal push to a path"

    def command(self) -> list[str]:
        """What pushes."""
        return self.keeper.pal("push", "-q", str(self.target))


class Rsync(Copier):
    """rsync of the live directory."""

    name = "rsync"
    settings = "-a, of the live directory, over ssh; nothing is synced to disk"
    keeps = False

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        line = first_line(["rsync", "--version"])
        return line and " ".join(line.split()[:3])

    def command(self) -> list[str]:
        """What copies."""
        return ["rsync", "-a", "-e", self.ssh, f"{self.keeper.source}/", f"far:{self.target}/"]


class Relayed(Copier):
    """One whose ssh does not say what it carried: it connects to a relay, which counts."""

    _relay: Relay

    def copy(self) -> tuple[Usage, int]:
        """Copy through the relay."""
        with relay(self.host.port) as self._relay:
            usage, _ = super().copy()
        return usage, self._relay.count


class ResticCopy(Relayed):
    """restic copy to a repository over sftp."""

    name = "restic copy"
    settings = "to a second repository over sftp, its chunks cut alike, cache enabled"

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        return Restic.version()

    def environment(self) -> dict[str, str]:
        """All variables; the repository that is meant is the target."""
        kept = super().environment()
        return {
            **kept,
            "RESTIC_REPOSITORY": f"sftp:far:{self.target}",
            "RESTIC_FROM_REPOSITORY": str(self.keeper.repository),
            "RESTIC_FROM_PASSWORD": kept["RESTIC_PASSWORD"],
        }

    def commands_begin(self) -> list[list[str]]:
        """What makes the empty repository."""
        words = ["init", "-q", "--repository-version", "2", "--copy-chunker-params"]
        return [["restic", *self._sftp(self.host.port), *words]]

    def command(self) -> list[str]:
        """What copies."""
        return ["restic", *self._sftp(self._relay.port), "copy", "-q"]

    def _sftp(self, port: int) -> list[str]:
        alias = f"-p {port} -o HostKeyAlias=[127.0.0.1]:{self.host.port}"
        return ["-o", f"sftp.command={self.host.ssh} {alias} far -s sftp"]


class Rclone(Relayed):
    """rclone sync of palatine's repository; its ssh is its own."""

    name = "rclone"
    settings = "sync of palatine's repository over sftp, sizes compared, 4 at once"

    @staticmethod
    def version() -> str | None:
        """The version in words, or None if the program is not here."""
        return first_line(["rclone", "version"])

    def command(self) -> list[str]:
        """What copies."""
        host = {
            "host": "127.0.0.1", "port": str(self._relay.port), "user": first_line(["id", "-un"]),
            "key-file": str(self.host.root / "key"), "shell-type": "unix",
        }  # fmt: skip
        options = [word for name, value in host.items() for word in (f"--sftp-{name}", str(value))]
        return [
            "rclone", "sync", "-q", "--size-only", "--config", "", *options,
            str(self.keeper.repository), f":sftp:{self.target}",
        ]  # fmt: skip


class Relay:
    """Passes on what connects to `port`, and counts the bytes of both directions."""

    def __init__(self, listening: socket.socket, to: int) -> None:
        self.port = listening.getsockname()[1]
        self.count = 0
        self._lock = threading.Lock()
        self._listening = listening
        self._to = to

    def accept(self) -> None:
        """Serve connections until listening ends."""
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        buffer = bytearray(1 << 18)
        with suppress(OSError):
            while size := source.recv_into(buffer):
                sink.sendall(memoryview(buffer)[:size])
                with self._lock:
                    self.count += size
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def relay(to: int) -> Iterator[Relay]:
    """Listen on a free port for connections to another one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = Relay(listening, to)
        threading.Thread(target=found.accept, daemon=True).start()
        yield found
        listening.shutdown(socket.SHUT_RDWR)


def raw(host: Sshd | None, source: Path, target: Path, scratch: Path) -> Usage:
    """Copy a file, through ssh or here, and sync it: what a copy of these bytes costs at least."""
    there = f"cat > {shlex.quote(str(target))}; sync {shlex.quote(str(target))}"
    end = f"{host.ssh} far {shlex.quote(there)}" if host else f"sh -c {shlex.quote(there)}"
    words = ("bash", "-c", f"set -o pipefail; cat {shlex.quote(str(source))} | {end}")
    return measure(Command(words, scratch, dict(os.environ)), scratch)


def serve_pal(root: Path) -> None:
    """Put a `pal` where those who log in to a host find it."""
    (root / "bin").mkdir(parents=True, exist_ok=True)
    pal = root / "bin" / "pal"
    pal.write_text(f'#!/bin/sh\nexec {Palatine.program() or "pal"} "$@"\n')
    pal.chmod(0o755)
