"""The collector's side of the concurrency protocol (docs/format.md, "Concurrency").

1. `condemn`: say of packs that nobody may rely upon them any more; adopt what others left condemned
2. `wait`: until each session that began before has ended, or is fenced
3. `look`: list snapshots again, then what is condemned, then the packs; follow what is new
   `rescue`: bring to new packs what is needed and is present in condemned ones only
4. `retire`: delete index segments, then the packs, then the condemned entries

Each step may be the last one of a killed collector: what it leaves is garbage, or condemned packs
that the next one adopts. The steps are apart so that tests can do something between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from palatine.errors import CatalogFailed, Damaged, Locked, NotFound
from palatine.ids import ObjectId
from palatine.model.names import pack_name
from palatine.store.bitmap import Bitmap
from palatine.store.carrier import Moved
from palatine.store.census import Account, Census
from palatine.store.condemned import condemn, condemned, strike_off
from palatine.store.fence import wait_for_sessions
from palatine.store.prospect import Packs, Stays
from palatine.store.reach import Reach
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.store.transfer import Care, Transfer, WouldBeLost

_REFUSED = "nothing is collected while"
_SEE = "what is needed cannot be told; see pal verify, then pal repair"

_TRIES = 5
"""How often snapshots are followed anew because others collected meanwhile."""


@dataclass
class Seen:
    """What a look at the repository showed: listed packs with their sizes, and what is condemned.

    `accounts` say what of each pack stays, `bases` which bases do.
    """

    listed: dict[bytes, int]
    condemned: frozenset[bytes]
    accounts: list[Account]
    bases: Bitmap
    snapshots: frozenset[ObjectId] = field(default_factory=frozenset)


class Collector:
    """One collection. `without` are snapshots that count as forgotten already.

    `erase`: nothing stays but what snapshots need themselves.
    """

    def __init__(
        self,
        repository: Repository,
        erase: bool = False,
        without: Set[ObjectId] = frozenset(),
    ) -> None:
        self._repository = repository
        repository.reader.read_afresh()  # what is copied must be what is there
        self._backend = repository.backend
        self._erase = erase
        self._without = without
        self._reach = Reach(repository, repository.catalog)
        self._followed: set[ObjectId] = set()
        self._known: frozenset[int] | None = frozenset()
        self._epoch = repository.catalog.epoch
        self._mine: frozenset[bytes] = frozenset()
        self._own: set[int] = set()
        self.seen: Seen | None = None
        self.fenced: list[str] = []
        """Snapshot keys that were closed to writers taken for dead."""

    @property
    def objects(self) -> int:
        """How many objects snapshots need."""
        return self._reach.objects

    def condemn(self, packs: Iterable[bytes]) -> None:
        """Condemn packs, and adopt what is condemned already."""
        adopted = condemned(self._backend)
        self._mine = adopted.union(packs)
        condemn(self._backend, self._mine - adopted)

    def wait(self) -> None:
        """Wait for those who may rely on what was condemned."""
        repository = self._repository
        patience = repository.settings.fence_seconds
        self.fenced += wait_for_sessions(
            self._backend, repository.clock, patience, repository.reporter
        )

    def look(self) -> Seen:
        """Learn what is there and what of it stays; see the class for what does not.

        Raises Damaged where that cannot be told for certain.
        """
        for left in reversed(range(_TRIES)):
            snapshots = self._snapshots()
            absent = condemned(self._backend)
            listed = self._repository.refresh()
            self._check_epoch()
            if not self._check_packs(listed):
                continue
            known = self._numbers()
            if known != self._known:
                # Copies that came are not marked, though their objects may be: begin anew.
                self._reach = Reach(self._repository, self._repository.catalog)
                self._followed.clear()
                self.seen = None
            try:
                fresh = self._follow(snapshots)
                accounts, bases = self._census(fresh, absent)
            except Damaged:
                self._known = None
                if not left or not self._has_changed(snapshots, listed):
                    raise
                continue
            self._known, self._own = self._numbers(), set()
            if self._known == known:
                ids = frozenset(one.id for one in snapshots)
                self.seen = Seen(listed, absent, accounts, bases, ids)
                return self.seen
            self._known = None  # others collected while we looked
        raise Locked("other collectors leave this one no time to look", "run it again later")

    def _census(self, fresh: bool, condemned: frozenset[bytes]) -> tuple[list[Account], Bitmap]:
        if self.seen is not None and not fresh:
            return self.seen.accounts, self.seen.bases
        catalog = self._repository.catalog
        census = Census(catalog, self._reach.content)
        absent = {row.n for row in catalog.packs() if row.name in condemned}
        return census.take(self._erase, absent), census.bases

    def _numbers(self) -> frozenset[int]:
        return frozenset(row.n for row in self._repository.catalog.packs())

    def idle(self) -> frozenset[bytes]:
        """Return the packs of ours that nothing which stays needs in any way."""
        assert self.seen is not None
        idle = {one.row.name for one in self.seen.accounts if one.idle}
        return self._mine & idle

    def rescue(self, thorough: bool = True) -> Moved:
        """Bring to new packs what would be lost with the condemned ones; see `Transfer`."""
        for _ in range(_TRIES):
            assert self.seen is not None
            before = self.seen.listed.keys()
            try:
                return self._transfer(thorough)
            except (Damaged, NotFound):
                if before <= self._repository.index.listed().keys():
                    raise
            except WouldBeLost:
                if self._numbers() - self._own == self._known:
                    raise
                # else copies by another collector came to the catalog that we share
            self.look()  # another collector had adopted the same packs, and was quicker
        return self._transfer(thorough)

    def _transfer(self, thorough: bool) -> Moved:
        repository, seen = self._repository, self.seen
        assert seen is not None
        relied = seen.listed.keys() - seen.condemned
        rows = repository.catalog.packs()
        packs = Packs(
            going=frozenset(row.n for row in rows if row.name in self._mine),
            usable=frozenset(row.n for row in rows if row.name in relied),
            left=frozenset(row.n for row in rows if row.name in seen.listed.keys() - self._mine),
        )
        stays = Stays(self._reach.content, seen.bases)
        transfer = Transfer(
            repository.parts, stays, packs, repository.settings.workers,
            Care(self._erase, thorough or self._erase),
        )  # fmt: skip
        going = sum(row.size for row in rows if row.name in self._mine)
        repository.reporter.begin("rewriting packs", going)
        try:
            return transfer.run(repository.reporter)
        finally:
            self._own |= transfer.own
            repository.reporter.end()

    def retire(self, packs: Set[bytes]) -> None:
        """Delete packs of ours: what they hold is not needed, or was rescued."""
        self._check_epoch()
        assert packs <= self._mine
        repository = self._repository
        repository.index.leave_out(packs)
        self._backend.delete_all(pack_name(pack) for pack in packs)
        strike_off(self._backend, packs)
        numbers = {row.n for row in repository.catalog.packs() if row.name in packs}
        repository.catalog.drop_packs([*numbers])
        repository.reader.forget()
        self._mine -= packs
        assert self.seen is not None
        idle = packs <= {one.row.name for one in self.seen.accounts if one.idle}
        # what is marked has gone to packs that are not, unless nothing was
        self._known = self._known - numbers if idle and self._known is not None else None
        self.seen.listed = {
            name: size for name, size in self.seen.listed.items() if name not in packs
        }
        self.seen.accounts = [one for one in self.seen.accounts if one.row.name not in packs]

    @property
    def mine(self) -> frozenset[bytes]:
        """The packs that are condemned and ours to delete."""
        return self._mine

    def _has_changed(self, snapshots: list[Stored], listed: dict[bytes, int]) -> bool:
        """Whether others may have taken away what we missed: a snapshot, or packs while we looked.

        Packs are not listed in one instant, so what was moved can be in none that we saw.
        """
        there = {one.id for one in self._snapshots()}
        packs = self._repository.index.listed().keys() == listed.keys()
        return not packs or any(one.id not in there for one in snapshots)

    def _snapshots(self) -> list[Stored]:
        """Return the snapshots that count; raises Damaged when one cannot be read."""
        snapshots = self._repository.list_snapshots()
        damaged = self._repository.snapshots.damaged
        if damaged:
            what = f"{_REFUSED} snapshot files are damaged: {', '.join(sorted(damaged))}"
            raise Damaged(what, _SEE)
        return [one for one in snapshots if one.id not in self._without]

    def _follow(self, snapshots: list[Stored]) -> bool:
        """Follow the snapshots that were not followed yet; return whether there are any."""
        fresh = [one for one in snapshots if one.id not in self._followed]
        roots = [one.snapshot.root.tree for one in fresh]
        roots += [part.root.tree for one in fresh for part in one.snapshot.outside]
        try:
            self._reach.add(roots)
        except NotFound as error:
            raise Damaged(str(error), "run: pal verify") from error
        self._followed.update(one.id for one in fresh)
        return bool(fresh)

    def _check_packs(self, listed: dict[bytes, int]) -> bool:
        """Raise Damaged where the packs and what is known of them disagree.

        Return False when one that was listed is gone: another collector was quicker.

        Of those that are ours to delete, what the catalog knows is compared with their own footers:
        an object that it does not know of would be lost.
        """
        index, catalog = self._repository.index, self._repository.catalog
        rows = {row.name: row for row in catalog.packs()}
        for name in listed.keys() - rows.keys() | listed.keys() & self._mine:
            try:
                listing = index.read_footer(name, listed[name])
            except NotFound:
                return False
            except Damaged as error:
                raise Damaged(f"{_REFUSED} a pack is damaged: {error}", _SEE) from error
            if name not in rows:
                catalog.add([listing], "")
            elif not catalog.agrees(rows[name].n, listing):
                if name not in index.listed():
                    return False  # and has taken it from the catalog that we share
                what = f"{_REFUSED} the index contradicts {pack_name(name)}"
                raise Damaged(what, "pal reindex makes the index anew; then see pal verify")
        for row in rows.values():
            if row.cut and row.name in listed:
                what = f"{_REFUSED} {pack_name(row.name)} does not have the size it should"
                raise Damaged(what, _SEE)
        return True

    def _check_epoch(self) -> None:
        if self._repository.catalog.epoch != self._epoch:
            raise CatalogFailed(
                "the catalog failed and was made again; nothing was deleted", "run it again"
            )
