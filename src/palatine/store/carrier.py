"""Frames copied to new packs as they are, and objects stored anew, by workers.

Whatever is written depends on less than it did: on one further down its own chain, or on an object
that was stored anew before it because the same base went. So no two become each other's base.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from palatine.errors import Malformed, NotFound
from palatine.ids import Kind, ObjectId
from palatine.model.pack import Listing
from palatine.store.catalog import Copy
from palatine.store.census import SOLID_DEAD
from palatine.store.encoder import SOLID_FULL, Base, Encoder, Parts, again
from palatine.store.packer import Ready
from palatine.store.prospect import Prospect
from palatine.store.resolve import Chain

_ROW = 800
"""Bytes that a row takes in memory: a frame may hold ten thousands of tiny objects."""

_RUN = 1 << 20
"""Bytes of frames that a worker is given at once to copy."""

_STAND_INS = 100_000
"""Bases that went and what was stored in their stead: forgetting some only costs space."""


class Row(NamedTuple):
    """A copy in a pack that goes: whether its object stays, and how many copies that has.

    `brought`: its base stays, too, and lies in a pack that goes.
    """

    id: ObjectId
    copy: Copy
    stays: bool
    copies: int
    brought: bool


@dataclass
class Moved:
    """What was done: objects whose frames were copied, objects stored anew, bytes written."""

    copied: int = 0
    renewed: int = 0
    written: int = 0


class Carrier:
    """Takes what stays to new packs. Its methods are for the caller's thread."""

    def __init__(self, parts: Parts, prospect: Prospect, threads: int, pure: bool) -> None:
        self._reader = parts.reader
        self._digest = parts.digest
        self._prospect = prospect
        self._pure = pure
        self._instead: dict[ObjectId, ObjectId] = {}
        self._encoder = Encoder(parts, threads, self._finished)
        self._run: list[list[Row]] = []
        self._held = 0
        self.moved = Moved()

    def solid(self, frame: list[Row], wanted: list[Row]) -> None:
        """Copy a frame of many objects, or take from it what is wanted."""
        size = sum(row.copy.size for row in frame)
        share = sum(row.copy.size for row in wanted) / size if size else 1.0
        pure = all(row.copy.number in self._prospect.content for row in frame)
        full = 2 * size >= SOLID_FULL and share >= 1 - SOLID_DEAD
        if full and (pure or not self._pure):
            self.as_it_is(frame)
            return
        self.moved.renewed += len(wanted)
        self._encoder.submit(2 * size + _ROW * len(wanted), lambda: self._regroup(wanted))

    def as_it_is(self, rows: list[Row]) -> None:
        """Copy a frame."""
        self.moved.copied += len(rows)
        self._run.append(rows)
        self._held += rows[0].copy.length + _ROW * len(rows)
        if self._held >= _RUN:
            self._copy_run()

    def in_full(self, row: Row) -> None:
        """Store an object anew, onto nothing."""
        self.moved.renewed += 1
        self._encoder.submit(2 * row.copy.size, lambda: self._regroup([row]))

    def anew(self, object_id: ObjectId) -> None:
        """Store an object onto something that stays: its base goes."""
        chain = self._prospect.chain(object_id)
        at, below = self._onto(chain)
        for base, _ in chain[1:at]:
            if len(self._instead) >= _STAND_INS:
                self._instead.clear()
            self._instead.setdefault(base, object_id)
        self.moved.renewed += 1
        self._encoder.submit(3 * chain[0][1].size, lambda: self._encode(chain, below))

    def finish(self) -> None:
        """Have all of it durable, and listed in index segments."""
        self._copy_run()
        self._encoder.finish()
        self._encoder.write_segments()
        self.moved.written = self._encoder.added

    def close(self) -> None:
        """Stop the workers, and drop what was not finished."""
        self._encoder.close()

    def _onto(self, chain: Chain) -> tuple[int, ObjectId | None]:
        """Return what next down a chain stays, or was stored in that one's stead; and how far down.

        What lies deeper has no stand-in by that: whatever is stored anew there could come to stand
        on something that stands on it.
        """
        for at, (base, _) in enumerate(chain[1:], 1):
            if base in self._instead:
                return at, self._instead[base]
            if self._prospect.stays(base):
                return at, base
        return len(chain), None

    def _copy_run(self) -> None:
        """Have a worker copy frames that were put off: most are small."""
        run, held = self._run, self._held
        if run:
            self._run, self._held = [], 0
            self._encoder.submit(held, lambda: self._copy_all(run))

    def _copy_all(self, run: Sequence[list[Row]]) -> None:
        for frames in _neighbours(run):
            ready: list[Ready] = []
            try:
                payloads = self._reader.payloads([rows[0].copy for rows in frames])
            except (NotFound, Malformed):
                for rows in frames:
                    self._regroup([row for row in rows if row.stays])
                continue
            for rows, payload in zip(frames, payloads, strict=True):
                try:
                    ready.append(again([(row.id, row.copy) for row in rows], payload))
                except Malformed:
                    self._regroup([row for row in rows if row.stays])
            self._encoder.frames(ready)

    def _regroup(self, rows: list[Row]) -> None:
        for row in rows:
            kind = Kind(row.copy.kind)
            self._encoder.full(kind, row.id, self._reader.get(kind, row.id))

    def _encode(self, chain: Chain, below: ObjectId | None) -> None:
        object_id, copy = chain[0]
        kind = Kind(copy.kind)
        if below is None or copy.ordinal == 0:
            self._encoder.full(kind, object_id, self._reader.get(kind, object_id))
            return
        under = self._prospect.chain(below)
        base = bytearray(self._reader.get(Kind(under[0][1].kind), below))
        data = self._upwards(chain, below, base) or self._reader.get(kind, object_id)
        self._encoder.delta(kind, object_id, data, Base(below, base, copy.ordinal, under[-1][1]))

    def _upwards(self, chain: Chain, below: ObjectId, base: bytearray) -> bytearray | None:
        """Return an object's bytes from those of one further down its chain, where that is so."""
        at = next((at for at, (one, _) in enumerate(chain) if one == below), 0)
        data = bytearray(base)
        try:
            for _, copy in reversed(chain[:at]):
                self._reader.apply(copy, data)
        except (Malformed, NotFound):
            return None
        good = at and self._digest.object_id(Kind(chain[0][1].kind), data) == chain[0][0]
        return data if good else None

    def _finished(self, numbers: list[int], listing: Listing) -> None:
        self._prospect.own.update(numbers)


def _neighbours(run: Iterable[list[Row]]) -> Iterator[list[list[Row]]]:
    """Yield frames that lie one behind the other together: they are read at once."""
    together: list[list[Row]] = []
    for rows in run:
        if together:
            last = together[-1][0].copy
            if rows[0].copy[:2] != (last.pack, last.offset + last.length):
                yield together
                together = []
        together.append(rows)
    if together:
        yield together
