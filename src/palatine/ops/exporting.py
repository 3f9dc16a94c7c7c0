"""export: what can be asked for, what is told of it, and how a file of it is written.

`ops/export.py` is the verb.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palatine.bundle.files import OutputFile, SumLine, sum_line
from palatine.bundle.limits import beyond
from palatine.bundle.native import write as native
from palatine.bundle.tar.names import shown
from palatine.bundle.zstd.write import LEVEL, Sink, ZstdWriter
from palatine.model.snapshot import Stats
from palatine.restore.fresh import translated
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored

if TYPE_CHECKING:  # what not every export needs is imported when it is needed
    from palatine.bundle.age.keys import Lock
    from palatine.redact.report import Report
    from palatine.redact.tree import Options as Redact

NATIVE = "native"


@dataclass(frozen=True)
class Request:
    """Where to, and how. `target` is a file, or a directory in which it gets a name.

    `level` is zstd's (native bundles only), `force` replaces what is there, `lock` says whom it is
    encrypted for, `redact` that secrets are taken out of it; in a dry run of that nothing is
    written, and there need be no target.
    """

    target: Path | None
    level: int = LEVEL
    force: bool = False
    format: str = NATIVE
    lock: Lock | None = None
    redact: Redact | None = None

    @property
    def is_dry(self) -> bool:
        """Whether it is only to be said what a redaction would find."""
        return self.redact is not None and self.redact.dry_run


@dataclass(frozen=True)
class Exported:
    """What was written: `path`, and where that is one file its `size` in bytes and its `sha256`.

    `stored` is the snapshot; `stats` is what it held when it was written, without secrets or with
    them. `notices` are sentences on what it lacks; they were told to the reporter.
    """

    stored: Stored
    stats: Stats
    format: str
    path: Path | None
    size: int | None = None
    sha256: str | None = None
    encrypted: bool = False
    redaction: Report | None = None
    notices: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        """The path of what was written, which it was unless in a dry run."""
        assert self.path is not None
        return self.path


def write_native(
    repository: Repository,
    stored: Stored,
    request: Request,
    redacted: dict[str, Any] | None = None,
) -> Exported:
    """Write a snapshot that a repository holds as a native bundle."""
    done: list[native.Written] = []

    def write(sink: Sink) -> None:
        threads = repository.settings.workers
        with ZstdWriter(sink, request.level, threads) as out:
            task = native.Task(
                repository, stored, repository.digest.name, target.parent, threads, redacted,
                repository.reporter,
            )  # fmt: skip
            with translated(target):  # the scratch files, too, may fill the disk
                done.append(native.write(task, out))

    assert request.target is not None
    target = request.target.absolute()
    size, digest = put(request, write)
    encrypted = request.lock is not None
    return Exported(
        stored, stored.snapshot.stats, NATIVE, target, size, digest, encrypted,
        notices=tuple(_needed(done[0], size)),
    )  # fmt: skip


def _needed(done: native.Written, size: int) -> Iterator[str]:
    """Yield what will be needed to take in a bundle of so many bytes."""
    for option in beyond(done.head.data, size):
        yield f"import and restore of it will need {option}"
    if done.clash:
        yield (
            f"import and restore of it will need --allow-case-folding: {shown(done.clash)} differs"
            " from another name only in case or in the spelling of accents"
        )


def put(
    request: Request, write: Callable[[Sink], None], line: SumLine = sum_line
) -> tuple[int, str]:
    """Have one file written and, where that is wanted, encrypted; return its size and hash."""
    assert request.target is not None
    with OutputFile(request.target, request.force, line) as file:
        if request.lock is None:
            write(file)
        else:
            from palatine.bundle.age.streams import EncryptingWriter

            with EncryptingWriter(file, request.lock) as sealed:
                write(sealed)
        return file.size, file.commit()
