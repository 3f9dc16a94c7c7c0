"""verify: whether everything is there, and is what was written.

Structure always: every snapshot file, index segment and footer, the packs against their listing,
and every object that any snapshot needs. With `data`, every byte: each pack against its digest,
each object against its id, deltas along with their bases, roots first. What is hit is named down to
the paths of the snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from random import Random

from palatine.errors import (
    Damaged,
    FormatTooNew,
    Malformed,
    NotFound,
    PalatineError,
    RepositoryError,
)
from palatine.events import Reporter
from palatine.ids import Kind, ObjectId
from palatine.model.encoding import encode
from palatine.model.names import pack_name
from palatine.model.tree import EntryKind, Part
from palatine.ops import policy
from palatine.ops.audit import Audit
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import Copy, PackRow
from palatine.store.repository import Repository
from palatine.store.resolve import resolve
from palatine.store.snapshots import TAGS, Stored, foreign_tags
from palatine.store.trees import Item, extents, items, leaves

_TRIES = 3
"""How often a repository is checked again in which others collected meanwhile."""


class Depth(Enum):
    """How much is read."""

    STRUCTURE = "structure"
    SAMPLE = "sample"
    DATA = "data"


@dataclass(frozen=True)
class Hit:
    """A snapshot that damage reaches, and the paths in it that cannot be read whole."""

    stored: Stored
    paths: tuple[bytes, ...]


@dataclass
class Report:
    """What was looked at and what was found. `bytes_read` are bytes of packs."""

    snapshots: int = 0
    packs: int = 0
    packs_read: int = 0
    objects: int = 0
    bytes_read: int = 0
    damage: list[str] = field(default_factory=list)
    """Files of the repository that are not what was written, and objects that do not follow the
    format, each in a sentence.
    """
    hits: list[Hit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What is amiss and costs nothing: derived files that can be made again."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be looked at, each in a sentence: neither damaged nor sound."""

    @property
    def ok(self) -> bool:
        """Whether no damage was found."""
        return not self.damage and not self.hits


class _Collector(Reporter):
    """Turns notices into warnings, and passes the rest on."""

    def __init__(self, inner: Reporter, report: Report) -> None:
        self._inner = inner
        self._report = report

    def begin(self, stage: str, total: int | None = None) -> None:
        self._inner.begin(stage, total)

    def advance(self, amount: int, item: str = "") -> None:
        self._inner.advance(amount, item)

    def end(self) -> None:
        self._inner.end()

    def detail(self, message: str) -> None:
        self._inner.detail(message)

    def notice(self, message: str) -> None:
        if message not in self._report.warnings:
            self._report.warnings.append(message)


def verify(
    repository: Repository,
    depth: Depth = Depth.STRUCTURE,
    share: float = 1.0,
    seed: int | None = None,
) -> Report:
    """Check a repository; `share` (0 to 1) of the packs is read when `depth` is SAMPLE.

    Damage is in the report, not raised; what stops the check itself is. Where a collector took
    packs away meanwhile, what seems to be damage may be none: then it is checked again.
    """
    repository.reader.read_afresh()
    for left in reversed(range(_TRIES)):
        before = repository.index.listed().keys()
        report = _verify(repository, depth, share, seed)
        if report.ok or not left or before <= repository.index.listed().keys():
            break
    return report


def _verify(repository: Repository, depth: Depth, share: float, seed: int | None) -> Report:
    report = Report()
    reporter, repository.reporter = repository.reporter, _Collector(repository.reporter, report)
    try:
        snapshots = repository.list_snapshots(reread=True)
        repository.refresh()
        report.snapshots = len(snapshots)
        report.damage += repository.snapshots.damaged.values()
        _check_small_files(repository, report)
        bad = _Bad()
        _check_catalog(repository, report)
        said, missing = _check_segments(repository, report)
        _check_packs(repository, said, report)
        if depth != Depth.STRUCTURE:
            chosen = _choose(repository.catalog.packs(), depth, share, seed)
            _check_data(repository, chosen, report, bad)
        _check_snapshots(repository, snapshots, report, bad)
        _tell_missing(missing, report)
    finally:
        repository.reporter = reporter
    return report


def _check_small_files(repository: Repository, report: Report) -> None:
    """Look at what was forgotten, at the names of tags, and at the stored policy."""
    repository.forgotten.whole(repository.reporter)
    report.damage += repository.forgotten.damaged.values()
    names = (stat.name for stat in repository.backend.list(TAGS))
    report.damage += [f"{one} is not a name palatine writes" for one in foreign_tags(names)]
    try:
        policy.current(repository)
    except Damaged as error:
        report.damage.append(str(error))
    except FormatTooNew as error:
        report.unchecked.append(str(error))


class _Bad:
    """Frames found damaged: nothing that needs them can be read through them."""

    def __init__(self) -> None:
        self.frames: set[tuple[int, int]] = set()

    def usable(self, copy: Copy) -> bool:
        return copy[:2] not in self.frames


def _choose(packs: list[PackRow], depth: Depth, share: float, seed: int | None) -> list[PackRow]:
    if depth == Depth.DATA:
        return packs
    count = min(len(packs), max(1, round(len(packs) * share)))
    return Random(seed).sample(packs, count)


def _check_catalog(repository: Repository, report: Report) -> None:
    if not repository.catalog.is_sound():
        report.warnings.append("the catalog was damaged; it was made again from the index")
        repository.catalog.clear()
        repository.refresh()


def _check_segments(
    repository: Repository, report: Report
) -> tuple[dict[bytes, bytes], dict[bytes, str]]:
    """Return a digest of what the segments say of each pack, and who names packs that are gone."""
    listed = repository.index.listed()
    said: dict[bytes, bytes] = {}
    missing: dict[bytes, str] = {}
    for stat in repository.backend.list("index/"):
        try:
            for listing in repository.index.read_segment(stat.name):
                said[listing.pack] = repository.digest.of(encode(listing.frames))
                if listing.pack not in listed:
                    missing[listing.pack] = stat.name
        except NotFound:
            continue
        except Damaged as error:
            report.damage.append(f"{error}; pal reindex makes it anew")
    return said, missing


def _tell_missing(missing: dict[bytes, str], report: Report) -> None:
    """Tell of packs that are gone: lost, where something is hit, and else what gc left behind."""
    for pack, segment in missing.items():
        sentence = f"{pack_name(pack)} is missing; {segment} lists it"
        (report.damage if report.hits else report.warnings).append(sentence)


def _check_packs(repository: Repository, said: dict[bytes, bytes], report: Report) -> None:
    sizes = {row.name: row.size for row in repository.catalog.packs()}
    for name, size in sorted(repository.index.listed().items()):
        report.packs += 1
        if sizes.get(name, size) != size:
            report.damage.append(f"{pack_name(name)} has {size} bytes instead of {sizes[name]}")
            continue
        try:
            listing = repository.index.read_footer(name, size)
        except NotFound:
            continue
        except Damaged as error:
            report.damage.append(f"{pack_name(name)}: {error}")
            continue
        except PalatineError as error:
            report.unchecked.append(f"{pack_name(name)} could not be read: {error}")
            continue
        frames = repository.digest.of(encode(listing.frames))
        if said.get(name, frames) != frames:
            report.damage.append(f"{pack_name(name)}: an index segment contradicts its footer")


def _check_data(repository: Repository, packs: list[PackRow], report: Report, bad: _Bad) -> None:
    total = sum(row.size for row in packs)
    repository.reporter.begin("verifying", total)
    audit = Audit(repository)
    try:
        result = audit.run(packs)
    finally:
        repository.reporter.end()
    report.packs_read = len(packs)
    report.bytes_read = total
    report.objects = result.objects
    report.damage += result.damage
    report.unchecked += result.unchecked
    bad.frames |= result.bad_frames


def _check_snapshots(
    repository: Repository, snapshots: list[Stored], report: Report, bad: _Bad
) -> None:
    """Look at everything each snapshot needs; trees that are known to be whole only once."""
    closure = _Closure(repository, bad, report)
    for stored in snapshots:
        paths = tuple(closure.hits(stored))
        if paths:
            report.hits.append(Hit(stored, paths))


class _Closure:
    """What snapshots need, followed from their roots."""

    def __init__(self, repository: Repository, bad: _Bad, report: Report) -> None:
        self._repository = repository
        self._bad = bad
        self._report = report
        self._whole = Bitmap()

    def hits(self, stored: Stored) -> list[bytes]:
        """Return the paths of a snapshot that cannot be read whole."""
        found: list[bytes] = []
        seen = Bitmap()
        roots = [(b"", stored.snapshot.root.tree)]
        roots += [(b"@" + part.name.encode(), part.root.tree) for part in stored.snapshot.outside]
        waiting = list(roots)
        while waiting:
            path, tree = waiting.pop()
            number = self._number(tree)
            if number is not None and number in self._whole:
                continue
            if number is not None:
                seen.add(number)
            prefix = path + b"/" if path else b""
            try:
                for _, piece in leaves(self, tree):
                    for item in items(piece, prefix):
                        if item.entry.kind == EntryKind.DIRECTORY:
                            waiting.append((item.path, item.entry.tree))
                        elif not self._is_whole(item):
                            found.append(item.path)
            except Damaged as error:
                self._tell(error)
                found.append(path or b".")
            except RepositoryError as error:
                self._cannot_look(stored, path, error)
                seen = Bitmap()
        if not found:
            self._whole.update(seen)
        return sorted(set(found))

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Read through frames that are not known to be damaged."""
        if self._number(object_id) is None:
            raise Damaged(f"{kind.name.lower()} {object_id.hex()} cannot be read")
        return self._repository.get(kind, object_id)

    def _is_whole(self, item: Item) -> bool:
        entry = item.entry
        if entry.pooled:
            return self._has(item.piece.pool[0])
        try:
            return all(self._has(part) for _, part in extents(self, entry))
        except Damaged as error:
            self._tell(error)
            return False

    def _tell(self, error: Damaged) -> None:
        """Report why an object that is there, bytes and id, is none all the same."""
        if isinstance(error, Malformed) and str(error) not in self._report.damage:
            self._report.damage.append(str(error))

    def _cannot_look(self, stored: Stored, path: bytes, error: RepositoryError) -> None:
        shown = path.decode(errors="replace") or "its root"
        sentence = f"{shown} in {stored.id.hex()[:16]} could not be looked at: {error}"
        self._report.unchecked.append(sentence)

    def _has(self, part: Part) -> bool:
        chain = resolve(self._repository.catalog, part.id, self._bad.usable)
        return chain is not None and chain[0][1].size == part.size

    def _number(self, object_id: ObjectId) -> int | None:
        chain = resolve(self._repository.catalog, object_id, self._bad.usable)
        return chain[0][1].number if chain else None
