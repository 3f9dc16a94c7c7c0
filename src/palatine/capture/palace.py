"""Capturing a palace with its parts elsewhere: all their databases first, as of one instant."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from palatine.capture.context import Context
from palatine.capture.databases import DatabaseCapture
from palatine.capture.excludes import matching
from palatine.capture.files import FileReader
from palatine.capture.outcomes import Outcome, Terms
from palatine.capture.place import Before, Captured, OpenPlace, Options, Place, reading
from palatine.capture.sink import Sink
from palatine.errors import PathNotFound, SourceError
from palatine.events import SILENT, Reporter
from palatine.model.config import Chunking

__all__ = ["Before", "Captured", "Options", "Place", "capture", "capture_together"]


def capture(
    source: Path,
    sink: Sink,
    chunking: Chunking,
    options: Options,
    before: Before,
    reporter: Reporter = SILENT,
) -> Captured:
    """Put a directory with everything below it, or one file, into `sink`.

    Raises PathNotFound, SourceError when the place itself cannot be read.
    """
    (captured,) = capture_together([Place(source, options, before)], sink, chunking, reporter)
    if isinstance(captured, Captured):
        return captured
    raise captured


def capture_together(
    places: Sequence[Place], sink: Sink, chunking: Chunking, reporter: Reporter = SILENT
) -> list[Captured | PathNotFound | SourceError]:
    """Put several places into `sink`, their databases as of one instant; then walk them in order.

    Returns for each what came of it: one that cannot be read does not keep the others from it.
    """
    with contextlib.ExitStack() as stack:
        opened = [_opened(place, sink, chunking, reporter, stack) for place in places]
        live = _Live(sink, reporter, _terms(places, chunking))
        with reading(places[-1].source):
            live.begin([one for one in opened if isinstance(one, OpenPlace)])
        return [_walked(one, live) if isinstance(one, OpenPlace) else one for one in opened]


def _terms(places: Sequence[Place], chunking: Chunking) -> Terms:
    patience = max(place.options.patience for place in places)
    before = places[-1].before
    return Terms(chunking.fixed, patience, before.clock, before.began_ns)


def _opened(
    place: Place, sink: Sink, chunking: Chunking, reporter: Reporter, stack: contextlib.ExitStack
) -> OpenPlace | PathNotFound | SourceError:
    options, before = place.options, place.before
    context = Context(
        sink,
        FileReader(sink, chunking, reporter, apart=not options.unsafe_files),
        before.signatures,
        reporter,
        before.began_ns,
        matching(options.excludes),
        _inodes(options.avoid),
        options.unsafe_files,
        clock=before.clock,
    )
    try:
        return OpenPlace(place, context, stack)
    except (PathNotFound, SourceError) as error:
        return error


def _walked(place: OpenPlace, live: _Live) -> Captured | PathNotFound | SourceError:
    try:
        root, owner, counts = place.walk()
    except (PathNotFound, SourceError) as error:
        return error
    context = place.context
    return Captured(root, owner, counts, context.findings, context.databases, live.longest_pin)


class _Live:
    """The databases of the places that are being captured."""

    def __init__(self, sink: Sink, reporter: Reporter, terms: Terms) -> None:
        self._capture = DatabaseCapture(sink, reporter, terms)

    @property
    def longest_pin(self) -> float:
        """Seconds the longest pin was held."""
        return self._capture.longest_pin

    def begin(self, places: Sequence[OpenPlace]) -> None:
        """Capture the databases there are, together; later ones alone when a walk asks."""
        safe = [place for place in places if not place.context.unsafe]
        taken = self._capture.capture([one for place in safe for one in place.targets()])
        for place in safe:
            mine = {one.path: outcome for one, outcome in taken.items() if place.owns(one)}
            place.context.databases.update(mine)
            place.context.take_database = self._taker(place)

    def _taker(self, place: OpenPlace) -> Callable[[bytes], Outcome | None]:
        def take(path: bytes) -> Outcome | None:
            target = place.found(path)
            return self._capture.capture([target]).get(target)

        return take


def _inodes(directories: Sequence[Path]) -> frozenset[tuple[int, int]]:
    found = set()
    for directory in directories:
        try:
            status = directory.stat()
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)
