"""Snapshots that lost something and were set aside: they come back should it turn up again.

    damaged/snapshots/TENANT/PALACE/KEY-ID     the snapshot file's bytes; ID, in 64 digits, is that
                                               of the snapshot that stands in its place

One whose stand-in is there no more was forgotten with it, and waits for nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from palatine.codec.seal import unseal
from palatine.errors import Damaged, FormatTooNew, NotFound
from palatine.ids import ObjectId
from palatine.ops.undelete import commit_again
from palatine.store.aside import DAMAGED
from palatine.store.repository import Repository
from palatine.store.snapshots import SNAPSHOTS, Stored, decode_stored

_NAME = re.compile(r"(?P<name>snapshots/.+Z-[0-9a-f]{16})-(?P<id>[0-9a-f]{64})\Z")


class Waiting(NamedTuple):
    """A snapshot that was set aside, under which name, and what stands in its place.

    `there`: it stands among the others, too. Repair was killed before it had deleted one of them.
    """

    stored: Stored
    name: str
    stand_in: Stored
    there: bool


def listed(repository: Repository, snapshots: Sequence[Stored]) -> list[Waiting]:
    """Return the snapshots that wait, given those that are there."""
    there = {one.id: one for one in snapshots}
    found = []
    for stat in repository.backend.list(DAMAGED + SNAPSHOTS):
        match = _NAME.match(stat.name.removeprefix(DAMAGED))
        stand_in = there.get(bytes.fromhex(match["id"])) if match else None
        if match is None or stand_in is None:
            continue
        try:
            data = repository.backend.get(stat.name)
            stored = decode_stored(match["name"], data, repository.digest)
        except (Damaged, FormatTooNew, NotFound):
            continue
        if stored is not None:
            found.append(Waiting(stored, stat.name, stand_in, stored.id in there))
    return found


def put_away(repository: Repository, stored: Stored, stand_in: ObjectId) -> str:
    """Keep a snapshot's file, which is about to be deleted; return under which name."""
    name = f"{DAMAGED}{stored.name}-{stand_in.hex()}"
    with contextlib.suppress(NotFound):  # another repair was quicker, or it was forgotten
        repository.backend.put(name, repository.snapshots.read(stored))
    return name


def bring_back(repository: Repository, waiting: Waiting) -> None:
    """Commit a snapshot that is whole again, with the tags of what stood in its place."""
    if not waiting.there:
        data = unseal(repository.backend.get(waiting.name))
        commit_again(repository, waiting.stored, data, waiting.stand_in.tags)
    repository.snapshots.delete([waiting.stand_in])
    repository.backend.delete(waiting.name)
