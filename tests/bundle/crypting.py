"""The real age and ssh-keygen, and short ways through palatine's streams."""

from __future__ import annotations

import io
import os
import pty
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from palatine.bundle.age.keys import Keys, Lock, keys_of, lock_of
from palatine.bundle.age.streams import DecryptingReader, EncryptingWriter

AGE = "age"
# What a passphrase costs in tests: age itself takes 2^18, a second's work.
CHEAP = 10


def age_key(path: Path) -> str:
    """Have age-keygen make a key file; return its recipient."""
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    done = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def ssh_key(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> str:
    """Have ssh-keygen make a key; return the line of its public half."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f", str(path)]
    subprocess.run([*command, *more], check=True, capture_output=True)
    return path.with_name(path.name + ".pub").read_text().strip()


def age(*arguments: str | Path, data: bytes) -> bytes:
    """Run age on bytes; raises CalledProcessError."""
    return subprocess.run([AGE, *arguments], input=data, check=True, capture_output=True).stdout


def age_passphrase(passphrase: str, *arguments: str | Path, times: int = 1) -> None:
    """Run age, which asks for a passphrase on a terminal and for nothing else."""
    code, seen = on_a_terminal([AGE, *map(str, arguments)], [passphrase] * times)
    assert code == 0, seen


def on_a_terminal(command: Sequence[str], typed: Sequence[str]) -> tuple[int, str]:
    """Run a program on a terminal of its own, and type a line whenever it asks for one.

    Returns its exit code and all that was seen there.
    """
    terminal, inner = pty.openpty()
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=inner, stdout=inner, stderr=inner
    ) as process:
        os.close(inner)
        seen, said = b"", b""
        waiting = list(typed)
        while more := _read(terminal):
            seen, said = seen + more, said + more
            if waiting and said.endswith(b": "):
                os.write(terminal, waiting.pop(0).encode() + b"\n")
                said = b""
    os.close(terminal)
    assert not waiting, seen
    return process.returncode, seen.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # nobody has it open any more
        return b""


class Own:
    """A key, what encrypts for it, and what opens that."""

    def __init__(self, path: Path) -> None:
        self.recipient = age_key(path)
        lock = lock_of([self.recipient])
        assert lock is not None
        self.lock = lock
        self.keys = keys_of([str(path)])


def content(size: int) -> bytes:
    """Return bytes that nothing compresses, always the same."""
    return random.Random(size).randbytes(size)


def encrypted(data: bytes, lock: Lock | None, piece: int = 10_000) -> bytes:
    """Return an age file, written piece by piece."""
    assert lock is not None
    sink = io.BytesIO()
    with EncryptingWriter(sink, lock, CHEAP) as out:
        for at in range(0, len(data), piece):
            out.write(data[at : at + piece])
    return sink.getvalue()


def decrypted(data: bytes, keys: Keys, piece: int = 10_000) -> bytes:
    """Return what an age file holds, read piece by piece."""
    parts = []
    with DecryptingReader(io.BytesIO(data), keys, "the file") as plain:
        while part := plain.read(piece):
            parts.append(part)
    return b"".join(parts)
