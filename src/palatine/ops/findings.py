"""What of a repository is damaged: packs, index segments, snapshot files and other small files.

Everything is read, as `verify --data` does; here it is told apart so that repair can act upon it.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from palatine.errors import Damaged, FormatTooNew, Malformed, NotFound, RepositoryError
from palatine.ids import ObjectId
from palatine.model.names import pack_name
from palatine.ops import policy
from palatine.ops.audit import Audit
from palatine.store.catalog import PackRow
from palatine.store.repository import Repository
from palatine.store.snapshots import TAGS, foreign_tags


@dataclass
class Findings:
    """What is damaged, by name, each with a sentence that says how.

    `bad` are frames that do not give their objects; `unreadable` objects that some frame or some
    pack that is gone should give; `stale` says that the index names packs that are gone.
    """

    packs: dict[bytes, str] = field(default_factory=dict)
    segments: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, str] = field(default_factory=dict)
    forgotten: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    policy: dict[str, str] = field(default_factory=dict)
    bad: set[tuple[int, int]] = field(default_factory=set)
    unreadable: set[ObjectId] = field(default_factory=set)
    stale: bool = False
    contradicted: bool = False

    def sentences(self) -> list[str]:
        """Return what is damaged, a sentence each."""
        files = (self.segments, self.snapshots, self.forgotten, self.tags, self.policy)
        return [*self.packs.values(), *(one for some in files for one in some.values())]


def find(repository: Repository) -> Findings:
    """Read everything.

    Raises FormatTooNew for what a newer palatine wrote, RepositoryError where something cannot be
    read at all: that it cannot be read now does not make it damaged.
    """
    found = Findings()
    if not repository.catalog.is_sound():
        repository.catalog.clear()
    repository.refresh()
    _find_files(repository, found)
    _find_segments(repository, found)
    _find_packs(repository, found)
    _find_bad_frames(repository, found, repository.catalog.packs())
    return found


def _find_files(repository: Repository, found: Findings) -> None:
    repository.list_snapshots(reread=True)
    found.snapshots = dict(repository.snapshots.damaged)
    repository.forgotten.whole(repository.reporter)
    found.forgotten = dict(repository.forgotten.damaged)
    for name in foreign_tags(stat.name for stat in repository.backend.list(TAGS)):
        found.tags[name] = f"{name} is not a name palatine writes"
    try:
        policy.current(repository)
    except Malformed as error:
        number = policy.newest_number(repository)
        found.policy[f"{policy.FOLDER}{number}"] = str(error)


def _find_segments(repository: Repository, found: Findings) -> None:
    listed = repository.index.listed()
    for stat in repository.backend.list("index/"):
        try:
            listings = repository.index.read_segment(stat.name)
        except NotFound:
            continue
        except Damaged as error:
            found.segments[stat.name] = str(error)
            continue
        for listing in listings:
            if listing.pack not in listed:
                found.stale = True
                found.unreadable |= {
                    member.id for frame in listing.frames for member in frame.members
                }


def _find_packs(repository: Repository, found: Findings) -> None:
    rows = {row.name: row for row in repository.catalog.packs()}
    for name, size in repository.index.listed().items():
        row = rows.get(name)
        if row is not None and row.size != size:
            found.packs[name] = f"{pack_name(name)} has {size} bytes instead of {row.size}"
            continue
        try:
            listing = repository.index.read_footer(name, size)
        except NotFound:
            continue
        except FormatTooNew:
            if repository.index.digest_of(pack_name(name), size) == name:
                raise
            found.packs[name] = f"{pack_name(name)} is damaged: its bytes do not have its digest"
            continue
        except Damaged as error:
            found.packs[name] = f"{pack_name(name)} is damaged: {error}"
            continue
        if row is not None and not repository.catalog.agrees(row.n, listing):
            found.contradicted = True


def find_in(repository: Repository, found: Findings, packs: Set[bytes]) -> None:
    """Read some packs more, that were set aside as damaged before, and add what is found."""
    for name in packs:
        found.packs[name] = f"{pack_name(name)} was set aside"
    rows = [row for row in repository.catalog.packs() if row.name in packs]
    _find_bad_frames(repository, found, rows)


def _find_bad_frames(repository: Repository, found: Findings, rows: list[PackRow]) -> None:
    repository.reporter.begin("reading packs", sum(row.size for row in rows))
    try:
        result = Audit(repository).run(rows)
    finally:
        repository.reporter.end()
    if result.unchecked:
        raise RepositoryError(
            result.unchecked[0], "nothing was done; copy what can be read to a sound disk first"
        )
    found.bad |= result.bad_frames
    by_itself = _read_bad_frames(repository, found)
    for row in rows:
        if row.n in result.bad_packs or row.n in by_itself:
            sentence = f"{pack_name(row.name)} is damaged: its bytes do not have its digest"
            found.packs.setdefault(row.name, sentence)


def _read_bad_frames(repository: Repository, found: Findings) -> set[int]:
    """Note what bad frames should give; return the packs in which one is no delta.

    A delta may be bad only because of what it stands on.
    """
    packs = {pack for pack, _ in found.bad}
    repository.catalog.define("hurt", packs.__contains__)
    by_itself = set()
    rows = repository.catalog.query("SELECT id, pack, offset, base FROM objects WHERE hurt(pack)")
    for object_id, pack, offset, base in rows:
        if (pack, offset) in found.bad:
            found.unreadable.add(object_id)
            if not base:
                by_itself.add(pack)
    return by_itself
