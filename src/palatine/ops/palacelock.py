"""One snapshot of a palace at a time, across processes: a lock that says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from palatine.errors import Locked
from palatine.ops.moments import utc
from palatine.ops.places import host
from palatine.store.repository import Repository

LOCK_TIMEOUT = 60.0
_STEP = 0.1


@dataclass(frozen=True)
class Patience:
    """How many seconds a lock is waited for, after how many that is told, and who is asking."""

    seconds: float = LOCK_TIMEOUT
    silent: float = 1.0
    command: str = "snapshot"


def lock_file(repository: Repository, tenant: str, palace: str, source: Path) -> Path:
    """Return the file that stands for a palace; in the cache, where there is one to write to."""
    place = f"{host()}\0{tenant}/{palace}\0{source}".encode("utf-8", "surrogateescape")
    name = sha256(place).hexdigest()[:32]
    import tempfile

    shared = Path(tempfile.gettempdir()) / f"palatine-{os.getuid()}"
    for directory in (repository.cache, shared):
        if directory is None:
            continue
        locks = directory / "locks"
        with contextlib.suppress(OSError):
            locks.mkdir(mode=0o700, parents=True, exist_ok=True)
            # in /tmp anybody may have made it: a directory of another's would lock nothing
            if locks.stat().st_uid == os.getuid() and os.access(locks, os.W_OK):
                return locks / name
    raise Locked(
        "there is no place for the lock that keeps two snapshots of a palace apart",
        f"make {shared} a directory of yours, or choose another with TMPDIR",
    )


@contextlib.contextmanager
def palace_lock(
    repository: Repository, tenant: str, palace: str, source: Path, patience: Patience
) -> Iterator[None]:
    """Hold a palace while the block runs; raises Locked when another process does not let go."""
    path = lock_file(repository, tenant, palace, source)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _wait(fd, repository, palace, patience)
        holder = {"pid": os.getpid(), "command": patience.command}
        _write(fd, {**holder, "since_us": repository.clock.now_us()})
        try:
            yield
        finally:
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)  # lets go; the file stays, so that everybody locks the same one


def _wait(fd: int, repository: Repository, palace: str, patience: Patience) -> None:
    clock = repository.clock
    began, told = clock.monotonic(), False
    while not _try(fd):
        waited = clock.monotonic() - began
        if waited >= patience.seconds:
            raise Locked(
                f"the palace {palace!r} is held by {_holder(fd)}",
                "wait for it to end, or wait longer with --lock-timeout SECONDS",
            )
        if waited >= patience.silent and not told:
            told = True
            repository.reporter.notice(f"waiting for {_holder(fd)}, which holds {palace!r}")
        clock.sleep(min(_STEP, patience.seconds - waited))


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(fd: int, holder: dict[str, object]) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(holder).encode(), 0)


def _holder(fd: int) -> str:
    """Return who holds the lock, in words; it may be about to write that, or to let go."""
    try:
        said = json.loads(os.pread(fd, 4096, 0))
        since = f"{utc(int(said['since_us'])).astimezone():%Y-%m-%d %H:%M:%S}"
        return f"process {int(said['pid'])} (pal {said['command']}, since {since})"
    except (ValueError, KeyError, TypeError, OverflowError):
        return "another process"
