"""gc: apply the stored policy, then remove what no snapshot needs any more.

A plan says what there is to gain; executing it follows the protocol (`store.collect`), which looks
again and does what is right then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from palatine.errors import NoSpace, PalatineError, Refused
from palatine.model.config import encode_config
from palatine.ops import forget, policy
from palatine.store.aside import DAMAGED
from palatine.store.census import Account
from palatine.store.collect import Collector
from palatine.store.condemned import condemned
from palatine.store.forgotten import Forgotten
from palatine.store.packer import PACK_TARGET
from palatine.store.repository import CONFIG, Repository
from palatine.store.session import SESSIONS

MAX_UNUSED = 0.05
"""The share of the packs' bytes that may stay unused: less costs more rewriting."""

CROWD = 32
"""So many packs of about one size are merged: snapshots of an hour leave small ones."""

_PROBES = 3
"""How often a store has to overwrite what it was asked to put only if absent."""

_SPARE_SHARE = 1.1
"""Room asked for in proportion to what is to be written: what is stored anew may grow a little."""


@dataclass(frozen=True)
class Options:
    """How thoroughly to collect.

    `max_unused` is a share (0 to 1) of what is stored, `max_unused_bytes` a number of bytes instead
    of it. `erase`: rewrite every pack that holds anything no snapshot needs, bases included.
    `exclusive`: the caller vouches for that nobody else uses the repository.
    """

    max_unused: float = MAX_UNUSED
    max_unused_bytes: int | None = None
    erase: bool = False
    exclusive: bool = False


@dataclass(frozen=True)
class Plan:
    """What gc would do, in bytes of packs.

    `removed` are packs of which nothing is needed, `rewritten` those whose rest is brought to new
    ones; `thorough`: and what stands on bases that no snapshot needs is stored anew, wherever it
    lies. `left` is what a killed gc left condemned. `freed` and `written` are estimates, `unused`
    is what stays unused. `forgetting` is what the stored policy lets go, None where there is none;
    `forgotten` how many forgotten snapshots can be brought back no more.
    """

    stored: int
    packs: int
    objects: int
    snapshots: int
    removed: tuple[Account, ...]
    rewritten: tuple[Account, ...]
    left: int
    unused: int
    forgotten: int
    thorough: bool = False
    forgetting: forget.Plan | None = None
    options: Options = field(default_factory=Options)

    @property
    def freed(self) -> int:
        """About how many bytes there will be less."""
        gone = sum(one.row.size for one in self.removed) + sum(one.waste for one in self.rewritten)
        return gone - sum(one.renewed for one in (*self.removed, *self.rewritten))

    @property
    def written(self) -> int:
        """About how many bytes are written anew."""
        return _written([*self.removed, *self.rewritten])


@dataclass
class Collected:
    """What gc did: packs deleted, bytes they had and bytes written in their stead; see `Plan`.

    `copied` and `renewed` are objects whose frames were copied, or that were stored anew. `fenced`
    are keys of snapshots whose writers were taken for dead.
    """

    plan: Plan
    packs: int = 0
    deleted: int = 0
    written: int = 0
    copied: int = 0
    renewed: int = 0
    forgotten: int = 0
    fenced: tuple[str, ...] = ()

    @property
    def freed(self) -> int:
        """How many bytes there are less; negative when room had to be taken."""
        return self.deleted - self.written


def plan(repository: Repository, options: Options | None = None) -> Plan:
    """Say what gc would do, and change nothing.

    Raises Damaged where it would do nothing, and what `policy.apply` raises.
    """
    forgetting = policy.apply(repository, dry_run=True)
    going = forgetting.going if forgetting else []
    without = frozenset(one.id for one in going)
    chosen = options or Options()
    collector = Collector(repository, chosen.erase, without)
    return _plan(repository, collector, chosen, forgetting)


def gc(repository: Repository, options: Options | None = None) -> Collected:
    """Apply the stored policy, and collect.

    Raises Refused, Damaged, ReadOnly, NoSpace, and what `policy.apply` raises. Killed or failed at
    any moment it has lost nothing, and the next gc goes on.
    """
    chosen = options or Options()
    if not chosen.exclusive:
        _check_store(repository)
    forgetting = policy.apply(repository)
    collector = Collector(repository, chosen.erase)
    done = Collected(_plan(repository, collector, chosen, forgetting))
    rewritten = done.plan.rewritten
    if done.plan.removed or done.plan.left or not rewritten:
        # what is of no use goes first: there may be no room for anything new before
        _round(repository, collector, done.plan.removed, done)
    lacking = _lacking(repository, rewritten)
    if rewritten and not lacking:
        _round(repository, collector, rewritten, done)
    if chosen.erase:
        repository.backend.delete_all(repository.forgotten.damaged)
        repository.backend.delete_all(one.name for one in [*repository.backend.list(DAMAGED)])
        repository.catalog.clear()  # it has copies of snapshot files
        if repository.blocks is not None:
            repository.blocks.clear()
        repository.refresh()
    _sweep(repository)
    done.fenced = tuple(collector.fenced)
    if lacking:
        raise NoSpace(
            f"{len(rewritten)} packs could not be rewritten: that needs {lacking} bytes more",
            f"{done.freed} bytes were freed; free some more elsewhere and run it again",
        )
    return done


def _plan(
    repository: Repository,
    collector: Collector,
    options: Options,
    forgetting: forget.Plan | None,
) -> Plan:
    seen = collector.look()
    removed = tuple(one for one in seen.accounts if one.idle)
    rewritten, thorough = _to_rewrite([one for one in seen.accounts if not one.idle], options)
    spared = {one.row.n for one in (*removed, *rewritten)}
    unused = sum(one.waste for one in seen.accounts if one.row.n not in spared)
    going = {one.id for one in forgetting.going} if forgetting else set()
    waiting = _waiting(repository, seen.snapshots)
    return Plan(
        stored=sum(seen.listed.values()),
        packs=len(seen.listed),
        objects=collector.objects,
        snapshots=len(seen.snapshots),
        removed=removed,
        rewritten=tuple(rewritten),
        left=len(condemned(repository.backend)),
        unused=unused + (0 if thorough else sum(one.renewed for one in rewritten)),
        forgotten=len({one.id for one in waiting} | going),
        thorough=thorough,
        forgetting=forgetting,
        options=options,
    )


def _to_rewrite(alive: list[Account], options: Options) -> tuple[list[Account], bool]:
    """Choose packs of which something is needed, and say whether that has to be done thoroughly.

    Where it is enough that what serves nothing goes, bases that no snapshot needs stay if what
    stands on them is not moved: most of that goes itself soon, and to store it anew is what takes
    time.
    """
    if options.erase:
        return [one for one in alive if one.mixed], True
    unused = sum(one.waste for one in alive)
    limit = options.max_unused_bytes
    if limit is None:
        share = min(options.max_unused, 1.0)
        used = sum(one.kept for one in alive)
        limit = int(used * share / (1 - share)) if share < 1 else unused
    thorough = sum(one.renewed for one in alive) > limit
    chosen = []
    for one in sorted(alive, key=_worth_all if thorough else _worth, reverse=True):
        if unused <= limit or not one.waste:
            break
        chosen.append(one)
        unused -= one.waste if thorough else one.gain
    taken = {one.row.n for one in chosen}
    return chosen + _crowds([one for one in alive if one.row.n not in taken]), thorough


def _worth_all(account: Account) -> float:
    """Return the share of a pack that may go."""
    return account.waste / account.row.size


def _worth(account: Account) -> float:
    """Return the share of a pack that serves nothing."""
    return account.gain / account.row.size


def _crowds(accounts: Collection[Account]) -> list[Account]:
    """Return the small packs of which there are many of one size: each is merged a few times."""
    tiers: dict[int, list[Account]] = {}
    for one in accounts:
        if one.row.size < PACK_TARGET // 4:
            tiers.setdefault(one.row.size.bit_length() // 3, []).append(one)
    return [one for tier in tiers.values() if len(tier) >= CROWD for one in tier]


def _round(
    repository: Repository, collector: Collector, accounts: Sequence[Account], done: Collected
) -> None:
    """Take packs out of the repository, by the protocol."""
    collector.condemn(one.row.name for one in accounts)
    if collector.mine:
        collector.wait()
    seen = collector.look()
    waiting = _waiting(repository, seen.snapshots)
    repository.forgotten.collect(waiting)
    done.forgotten += len({one.id for one in waiting})
    _retire(collector, collector.idle(), done)
    if collector.mine:
        moved = collector.rescue(done.plan.thorough)
        done.written += moved.written
        done.copied += moved.copied
        done.renewed += moved.renewed
        _retire(collector, collector.mine, done)


def _retire(collector: Collector, packs: frozenset[bytes], done: Collected) -> None:
    if packs:
        assert collector.seen is not None
        sizes = [collector.seen.listed[name] for name in packs if name in collector.seen.listed]
        collector.retire(packs)
        done.packs += len(sizes)
        done.deleted += sum(sizes)


def _sweep(repository: Repository) -> None:
    """Remove what killed processes left unfinished, while no writer can be at it."""
    try:
        if not any(repository.backend.list(SESSIONS)):
            repository.backend.sweep()
    except PalatineError as error:
        repository.reporter.notice(f"temporary files could not be removed: {error}")


def _waiting(repository: Repository, there: frozenset[bytes]) -> list[Forgotten]:
    """Return what was forgotten and is not collected; what has a snapshot is not forgotten."""
    entries = repository.forgotten.whole(repository.reporter)
    return [one for one in entries if one.id not in there]


def _lacking(repository: Repository, accounts: Sequence[Account]) -> int:
    """Return how many bytes too few there are to rewrite packs."""
    free = repository.backend.free()
    wanted = int(_written(accounts) * _SPARE_SHARE)
    return 0 if free is None else max(0, wanted - free)


def _written(accounts: Sequence[Account]) -> int:
    return sum(one.kept + one.renewed for one in accounts)


def _check_store(repository: Repository) -> None:
    """Raise Refused for a store that overwrites what it was asked to put only if absent.

    Such a store would let a writer commit that was fenced. The config is put once more as it is:
    whatever becomes of that, it stays what it was. Once is not enough: bytes that are ours count as
    put where no answer came to a first request.
    """
    config = encode_config(repository.config)
    if all(repository.backend.create(CONFIG, config) for _ in range(_PROBES)):
        raise Refused(
            f"the store at {repository.backend.location} does not heed put-if-absent:"
            " gc beside a writer could lose data",
            "make sure that nobody uses the repository, then: pal gc --exclusive",
        )
