"""Keeping the catalog true: index segments, footers, and the listing of packs that overrules both.

Segments say what packs hold so that a reader needs one get instead of one per pack. They are never
trusted without a listing: what lies in a pack that is not listed is not there. A listed pack that
no readable segment covers (a writer was killed before its segment, or the segment is lost) is read
by its footer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set

from palatine.backends.base import Backend
from palatine.codec.seal import seal, unseal
from palatine.errors import Damaged, FormatTooNew, Malformed, NoSpace, NotFound
from palatine.events import SILENT, Reporter
from palatine.ids import Digest
from palatine.model.names import pack_name
from palatine.model.pack import (
    TRAILER,
    Listing,
    check_footer,
    decode_footer,
    decode_segment,
    encode_segment,
    footer_length,
)
from palatine.store.catalog import Catalog, PackRow

INDEX = "index/"
PACKS = "packs/"

SEGMENT_PACKS, SEGMENT_OBJECTS = 256, 1 << 16
"""A segment is closed with the pack with which it covers this many packs or objects: whoever reads
it decodes it whole."""

_TRIES = 5
"""How often packs are listed again because some were deleted before they were read."""

_SMALL_SEGMENTS = 8
"""Segments that cover few packs, at most: above that they are merged when others are replaced."""

_BLOCK = 1 << 20


class Index:
    """The objects of a repository, as its packs, their segments and the catalog know them."""

    def __init__(self, backend: Backend, catalog: Catalog, digest: Digest) -> None:
        self._backend = backend
        self._catalog = catalog
        self._digest = digest

    def refresh(self, reporter: Reporter) -> dict[bytes, int]:
        """Bring the catalog up to the repository: segments first, then the listing of packs.

        Returns that listing: a catalog that other processes share may know packs besides. Damage is
        told to the reporter and passed over: what can be read stays readable. Raises FormatTooNew
        for a pack or a segment that a newer palatine wrote: who cannot tell what is there cannot
        tell what is missing.
        """
        for _ in range(_TRIES):
            self._load_segments(reporter)
            rows, listed = self._catalog.packs(), self.listed()
            known = {row.name for row in rows}
            vanished = self._read_footers(
                {name: size for name, size in listed.items() if name not in known}, reporter
            )
            self._compare(rows, listed, reporter)
            if not vanished:
                break  # else a collector has moved what was in there to a pack that we did not list
        return listed

    def listed(self) -> dict[bytes, int]:
        """Return the packs that are there: their names, as digests, and sizes in bytes."""
        return {
            bytes.fromhex(stat.name[-64:]): stat.size
            for stat in self._backend.list(PACKS)
            if is_pack_name(stat.name)
        }

    def read_footer(self, pack: bytes, size: int) -> Listing:
        """Return what a pack holds, from its own footer.

        Raises Damaged, NotFound, or FormatTooNew for a pack that is as a newer palatine wrote it.
        """
        try:
            return self._read_footer(pack, size)
        except FormatTooNew as error:
            name = pack_name(pack)
            if self.digest_of(name, size) == pack:
                raise
            raise Malformed(f"{name} is damaged: its bytes do not have its digest") from error

    def _read_footer(self, pack: bytes, size: int) -> Listing:
        name = pack_name(pack)
        trailer = self._backend.read(name, max(0, size - TRAILER.size), TRAILER.size)
        if len(trailer) < TRAILER.size:
            raise Malformed(f"{name} is too short to be a pack")
        length = footer_length(trailer, size, name)
        footer = self._backend.read(name, size - TRAILER.size - length, length)
        check_footer(footer, trailer, pack, self._digest)
        return decode_footer(unseal(footer), pack, size)

    def digest_of(self, name: str, size: int, reporter: Reporter = SILENT) -> bytes:
        """Return the digest of a file of the repository, read block by block."""
        hasher = self._digest.stream()
        for offset in range(0, size, _BLOCK):
            data = self._backend.read(name, offset, min(_BLOCK, size - offset))
            hasher.update(data)
            reporter.advance(len(data))
        # a byte too many is damage too
        hasher.update(self._backend.read(name, size, 1))
        return hasher.digest()

    def read_segment(self, name: str) -> tuple[Listing, ...]:
        """Return the listings of an index segment; raises Damaged when it is not as written."""
        return self._decode_segment(name, self._backend.get(name))

    def _decode_segment(self, name: str, data: bytes) -> tuple[Listing, ...]:
        if self._digest.of(data).hex() != name.rpartition("/")[2]:
            raise Malformed(f"{name} is damaged: its bytes do not have its digest")
        return decode_segment(unseal(data), name)

    def write_segments(self, listings: Iterable[Listing]) -> list[str]:
        """Write what packs hold as new segments of bounded size, and return their names."""
        names = []
        run: list[Listing] = []
        objects = 0
        for listing in listings:
            run.append(listing)
            objects += sum(len(frame.members) for frame in listing.frames)
            if objects >= SEGMENT_OBJECTS or len(run) >= SEGMENT_PACKS:
                names.append(self._write_segment(run))
                run, objects = [], 0
        if run:
            names.append(self._write_segment(run))
        return names

    def leave_out(self, packs: Set[bytes]) -> None:
        """Replace the segments that name packs which are about to be deleted, before they are.

        With them go segments that name nothing else any more, and, where there are many, small
        ones. Where there is no room for new ones the packs' own footers have to serve.
        """
        rows = self._catalog.packs()
        read = self._catalog.segments()
        covering = Counter(row.segment for row in rows)
        old = read - covering.keys() | {row.segment for row in rows if row.name in packs} & read
        small = {name for name in read - old if covering[name] < SEGMENT_PACKS // 4}
        if len(small) > _SMALL_SEGMENTS:
            old |= small
        left = {
            row.name: row.size
            for row in rows
            if row.name not in packs and (row.segment in old or row.segment not in read)
        }
        fresh: list[str] = []
        try:
            fresh = self.write_segments(self._from_segments(old, left))
        except NoSpace:
            self._catalog.uncover(old)
        self._backend.delete_all(old - {*fresh})
        self._catalog.set_segments(read - old | {*fresh})

    def _from_segments(self, segments: Set[str], wanted: dict[bytes, int]) -> Iterator[Listing]:
        """Yield the listings of packs, from these segments or their own footers."""
        wanted = dict(wanted)
        for name in sorted(segments):
            try:
                listings = self.read_segment(name)
            except (NotFound, Damaged):
                continue
            yield from (one for one in listings if wanted.pop(one.pack, None) is not None)
        for pack, size in wanted.items():
            try:
                yield self.read_footer(pack, size)
            except NotFound:
                continue  # another collector was quicker

    def uncovered(self, known: Set[bytes]) -> Iterator[Listing]:
        """Yield the listings, from their footers, of the packs that no segment covers yet.

        Such packs are what a writer that was killed left; those in `known` are passed over.
        """
        for row in self._catalog.packs():
            if not row.segment and row.name not in known:
                try:
                    yield self.read_footer(row.name, row.size)
                except (Damaged, NotFound):
                    continue  # told when it was listed; its objects were stored again or are lost

    def _write_segment(self, listings: list[Listing]) -> str:
        data = seal(encode_segment(listings))
        name = f"{INDEX}{self._digest.of(data).hex()}"
        self._backend.create(name, data)
        self._catalog.add(listings, name)
        self._catalog.set_segments(self._catalog.segments() | {name})
        return name

    def _load_segments(self, reporter: Reporter) -> None:
        segments = [stat.name for stat in self._backend.list(INDEX)]
        read = self._catalog.segments()
        good = [name for name in segments if name in read]
        fresh = self._backend.get_all([name for name in segments if name not in read])
        # without those merged into others since the listing
        good += [name for name, data in fresh if self._load(name, data, reporter)]
        if set(good) != read:
            self._catalog.set_segments(good)

    def _load(self, name: str, data: bytes, reporter: Reporter) -> bool:
        try:
            self._catalog.add(self._decode_segment(name, data), name)
        except Damaged as error:
            reporter.notice(f"{error}; the packs' own footers are read instead")
            return False
        return True

    def _compare(self, rows: list[PackRow], listed: dict[bytes, int], reporter: Reporter) -> None:
        # The rows are older than the listing: a pack that another process catalogued since is
        # none that is gone.
        gone = [row.n for row in rows if row.name not in listed]
        if gone:
            self._catalog.drop_packs(gone)
            # a segment names packs that are gone: should they return, it must be read again
            self._catalog.set_segments(
                self._catalog.segments() - {row.segment for row in rows if row.n in set(gone)}
            )
        cut = {row.n: listed[row.name] != row.size for row in rows if row.name in listed}
        changed = {row.n: cut[row.n] for row in rows if row.n in cut and cut[row.n] != row.cut}
        # also when nothing changed: another process may have recorded it in the same file
        self._catalog.mark_cut(changed)
        for row in rows:
            if cut.get(row.n):
                size = listed[row.name]
                reporter.notice(f"pack {row.name.hex()} has {size} bytes instead of {row.size}")

    def _read_footers(self, packs: dict[bytes, int], reporter: Reporter) -> bool:
        """Learn from packs what is in them; return whether one has been deleted meanwhile."""
        vanished = False
        for name, size in packs.items():
            try:
                self._catalog.add([self.read_footer(name, size)], "")
            except NotFound:
                vanished = True
            except Damaged as error:
                reporter.notice(str(error))
        return vanished


def is_pack_name(name: str) -> bool:
    """Whether a file of the repository is named as a pack is."""
    digest = name.rpartition("/")[2]
    try:
        return len(digest) == 64 and pack_name(bytes.fromhex(digest)) == name
    except ValueError:
        return False
