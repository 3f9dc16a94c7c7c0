"""A snapshot of a copy out of which secrets were taken.

It is nobody's parent or child, and of no host: a copy that was imported is never taken for a palace
that is here, nor merged as if somebody had written the placeholders. It comes one microsecond
before the snapshot it was made of, so that this stays the newest where both are.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path

import msgspec

from palatine.capture.palace import Before, Captured, Options, capture
from palatine.capture.signatures import Signatures
from palatine.errors import SourceError
from palatine.model.snapshot import (
    Artifact,
    Health,
    Missing,
    Outside,
    Snapshot,
    Stats,
    encode_snapshot_file,
)
from palatine.model.tree import Entry
from palatine.ops.intake import Sink
from palatine.ops.parts import lone_file
from palatine.redact.names import scrub_path
from palatine.redact.report import Report
from palatine.redact.scrub import Scrubber
from palatine.redact.tree import Options as Redact
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.trees import Source

TAG = "redacted"


def outline(stored: Stored, palace: Path, report: Report, redact: Redact) -> Stored:
    """Return what may be said of a snapshot when its copy, at `palace`, was redacted.

    Its trees are still those of the snapshot.
    """
    scrubber, one = Scrubber(redact.rules), stored.snapshot
    words = _Words(scrubber)
    artifacts = [
        msgspec.structs.replace(
            part, path=words.path(part.path), kind=words.text(part.kind), health=Health.UNKNOWN
        )
        for part in one.artifacts
    ]
    missing = [Missing(words.path(gap.path), words.text(gap.reason)) for gap in one.missing]
    missing += [
        Missing(_inside(part.path), f"left out of a redacted copy: it {part.reason}")
        for part in report.left_out
    ]
    made = msgspec.structs.replace(
        one,
        time_us=max(0, one.time_us - 1),
        host="",
        user=words.text(one.user),
        path=words.path(one.path),
        parents=(),
        message=words.text(one.message),
        outside=tuple(
            msgspec.structs.replace(part, place=words.path(part.place)) for part in one.outside
        ),
        artifacts=tuple(part for part in artifacts if _is_there(palace, part)),
        missing=tuple(sorted(missing, key=lambda gap: gap.path)),
    )
    tags = {TAG, *(tag for tag in stored.tags if words.text(tag) == tag)}
    return Stored(stored.id, stored.key, made, tuple(sorted(tags)))


def recaptured(
    repository: Repository, stored: Stored, original: Repository, palace: Path
) -> Stored:
    """Put a copy and its outside parts into a repository that is nobody's; return its snapshot.

    `stored` is the outline, whose trees `original` holds. Raises SourceError.
    """
    one = stored.snapshot
    with repository.writing(one.tenant, one.palace, one.time_us) as (_, writer):
        sink = Sink(repository, writer)
        main = _capture(repository, sink, _place(original, one.root, one.path, palace))
        places = [
            (part, _place(original, part.root, part.place, Path(f"{palace}.outside") / part.name))
            for part in one.outside
        ]
        beside = [(part, _capture(repository, sink, place)) for part, place in places]
        writer.flush()
    repository.refresh()
    made = _snapshot(one, main, beside)
    object_id, _ = encode_snapshot_file(made, repository.digest)
    return Stored(object_id, stored.key, made, stored.tags)


def _snapshot(one: Snapshot, main: Captured, beside: list[tuple[Outside, Captured]]) -> Snapshot:
    counts = main.counts
    for _, captured in beside:
        counts = counts.plus(captured.counts)
    return msgspec.structs.replace(
        one,
        owner=main.owner,
        root=main.root,
        outside=tuple(
            Outside(part.name, part.place, captured.owner, captured.root)
            for part, captured in beside
        ),
        stats=Stats(counts.files, counts.directories, counts.symlinks, counts.size, 0),
    )


class _Words:
    """Texts and paths of a snapshot without secrets; None is counted."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber

    def text(self, value: str) -> str:
        return self._scrubber.scrub(value, Counter())

    def path(self, value: bytes) -> bytes:
        return scrub_path(self._scrubber, value)


def _capture(repository: Repository, sink: Sink, place: Path) -> Captured:
    with contextlib.closing(Signatures(None)) as signatures:
        before = Before(repository.clock.now_ns(), signatures, None, repository.clock)
        captured = capture(
            place, sink, repository.config.chunking, Options(), before, repository.reporter
        )
    if captured.findings.missing:
        first = captured.findings.missing[0]
        raise SourceError(f"{os.fsdecode(first.path)} in the redacted copy {first.reason}")
    return captured


def _place(source: Source, root: Entry, recorded: bytes, directory: Path) -> Path:
    """Return what to capture: the directory, or the file in it where the part was a single file."""
    item = lone_file(source, root, recorded)
    if item is not None:
        file = directory / os.fsdecode(item.entry.name)
        if file.is_file() and not file.is_symlink():
            return file
    return directory


def _inside(path: str) -> bytes:
    """Return a path of the report, which is as in a bundle, as a snapshot has it."""
    top, _, rest = path.partition("/")
    return os.fsencode(rest if top == "palace" else f"@{rest}" if top == "outside" else path)


def _is_there(palace: Path, part: Artifact) -> bool:
    if part.path.startswith(b"@"):
        return os.path.lexists(os.fsencode(f"{palace}.outside/") + part.path[1:])
    return os.path.lexists(os.fsencode(palace) + b"/" + part.path)
