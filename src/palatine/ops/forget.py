"""forget: let go of snapshots, by rules or by name. What they hold stays until gc collects it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum

from palatine.errors import Damaged, NoSpace, NotFound, Refused
from palatine.ids import ObjectId
from palatine.model.policy import Policy, check_policy
from palatine.ops.history import log
from palatine.ops.periods import zone_named
from palatine.ops.protection import tags_that_protect
from palatine.ops.reasons import Judged, Reason, Why
from palatine.ops.retention import judge
from palatine.ops.revisions import of_palace, resolve
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored


class Leaves(Enum):
    """What has to be left of each palace."""

    NOTHING = 0
    SOMETHING = 1
    HEALTHY = 2
    """Something, and if there was a complete and healthy one, one of these."""


@dataclass(frozen=True)
class Plan:
    """What becomes of each snapshot that was judged, sorted by palace, newest first.

    `forgotten` are those that are gone by now: none before the plan is executed. `leaves` is looked
    at once more then.
    """

    judged: tuple[Judged, ...] = ()
    forgotten: tuple[Stored, ...] = ()
    leaves: Leaves = Leaves.HEALTHY

    @property
    def going(self) -> list[Stored]:
        """The snapshots that go."""
        return [one.stored for one in self.judged if not one.stays]


def plan_rules(
    repository: Repository, policy: Policy, palace: str | None = None, even_last: bool = False
) -> Plan:
    """Judge the snapshots of all palaces that a policy has rules for, or of one of them.

    `even_last` lets go of the newest snapshots of places, if no rule keeps them. Raises UsageError,
    UnknownRevision, Damaged while a snapshot file cannot be read (it might be one that stays), and
    Refused when a palace would be left with nothing.
    """
    check_policy(policy)
    snapshots = log(repository, palace)
    if repository.snapshots.damaged:
        raise Damaged(
            f"nothing is forgotten while snapshot files are damaged: "
            f"{', '.join(sorted(repository.snapshots.damaged))}",
            "pal verify --data says what is hit",
        )
    judged: list[Judged] = []
    for name in sorted({one.palace for one in snapshots}):
        of = of_palace(snapshots, name)
        rules = policy.of(of[0].snapshot.tenant, of[0].snapshot.palace)
        if rules is None:
            continue
        zone = zone_named(rules.zone)
        verdict = judge(of, rules.rules, zone, repository.clock.now_us(), even_last)
        if not any(one.stays for one in verdict):
            raise Refused(
                f"these rules would forget every snapshot of {name}",
                "add a --keep-… option, or name the snapshots one by one",
            )
        judged += verdict
    return Plan(tuple(judged), leaves=Leaves.SOMETHING if even_last else Leaves.HEALTHY)


def plan_named(repository: Repository, revisions: Sequence[str], even_last: bool = False) -> Plan:
    """Judge the snapshots that revisions name: they go.

    Raises UnknownRevision and AmbiguousRevision; Refused for one whose tags protect it, and, unless
    `even_last`, for the last snapshot of a palace and for the last that is complete and healthy.
    """
    snapshots = repository.list_snapshots()
    now_us = repository.clock.now_us()
    named = {one.id: one for one in (resolve(snapshots, text, now_us) for text in revisions)}
    for one in named.values():
        _check_tags(one, now_us)
    if not even_last:
        _check_last(snapshots, named)
    judged = tuple(Judged(one, False, (Reason(Why.NAMED),)) for one in named.values())
    return Plan(judged, leaves=Leaves.NOTHING if even_last else Leaves.HEALTHY)


def _check_tags(stored: Stored, now_us: int) -> None:
    protecting = tags_that_protect(stored, now_us)
    if protecting:
        short = stored.id.hex()[:16]
        tags = ", ".join(repr(one.detail) for one in protecting)
        raise Refused(
            f"{short} of {stored.palace} is protected by its tags: {tags}",
            f"take each away first: pal tag -d {short} {protecting[0].detail}",
        )


def _check_last(snapshots: Sequence[Stored], named: dict[ObjectId, Stored]) -> None:
    for palace in sorted({one.palace for one in named.values()}):
        what = _lost(of_palace(snapshots, palace), named.keys(), Leaves.HEALTHY)
        if what:
            raise Refused(f"{palace} would lose {what}", "--even-last forgets it all the same")


def _lost(of: Sequence[Stored], going: Set[ObjectId], leaves: Leaves) -> str:
    """Say what a palace must not lose and would, in words, of its snapshots `of`."""
    rest = [one for one in of if one.id not in going]
    if leaves != Leaves.NOTHING and of and not rest:
        return "the last snapshot"
    healthy = any(one.snapshot.healthy for one in rest)
    if leaves == Leaves.HEALTHY and not healthy and any(one.snapshot.healthy for one in of):
        return "the last complete and healthy snapshot"
    return ""


def execute(repository: Repository, plan: Plan) -> Plan:
    """Forget what goes, and return the plan with what was forgotten.

    One that has been given a tag since it was judged stays, and so do those of a palace that would
    lose its last snapshot because somebody else forgets at the same time. Killed in the middle, a
    snapshot is there or forgotten; doing it again does the rest.
    """
    forgotten: dict[ObjectId, Stored] = {}
    waiting = plan.going
    while waiting:
        done = {one.id: one for one in _forget(repository, waiting, plan.leaves)}
        forgotten |= done
        # of a snapshot that was pushed twice, the file under the next key shows now
        waiting = [one for one in repository.list_snapshots() if one.id in done and not one.tags]
    return replace(plan, forgotten=tuple(forgotten.values()))


def _forget(repository: Repository, going: Sequence[Stored], leaves: Leaves) -> list[Stored]:
    """Put snapshots away, then delete those that have no new tag; return these.

    Who puts a tag looks afterwards whether the snapshot is being forgotten, and we look for tags
    after we have put it away: one of the two sees the other. So it is with two who forget.
    """
    without_room: list[tuple[Stored, bytes]] = []
    there: list[Stored] = []
    for one in going:
        try:
            data = repository.snapshots.read(one)
        except NotFound:
            continue  # somebody else has forgotten it
        there.append(one)
        try:
            repository.forgotten.put(one.name, data)
        except NoSpace:
            without_room.append((one, data))
    gone = _still_untagged(repository, there)
    gone = _not_the_last(repository, gone, leaves)
    repository.snapshots.delete(gone)
    ids = {one.id for one in gone}
    for one, data in without_room:
        if one.id in ids:
            _put_away_late(repository, one, data)
    return gone


def _still_untagged(repository: Repository, there: Sequence[Stored]) -> list[Stored]:
    tags = repository.snapshots.tags_now(there)
    for one in there:
        if not tags[one.id] <= {*one.tags}:
            repository.reporter.notice(
                f"{one.id.hex()[:16]} of {one.palace} has been given a tag meanwhile: it stays"
            )
    return [one for one in there if tags[one.id] <= {*one.tags}]


def _not_the_last(repository: Repository, going: list[Stored], leaves: Leaves) -> list[Stored]:
    """Leave out those of palaces that would lose too much, together with what others forget now.

    Of several who forget, the one that looks last sees what all others have put away.
    """
    if leaves == Leaves.NOTHING:
        return going
    there = repository.list_snapshots()
    leaving = repository.forgotten.among(there) | {one.id for one in going}
    stays = set()
    for palace in sorted({one.palace for one in going}):
        what = _lost(of_palace(there, palace), leaving, leaves)
        if what:
            repository.reporter.notice(
                f"{palace} would lose {what}, for others are being forgotten at the same time:"
                " nothing of it was forgotten (--even-last forgets what is named all the same)"
            )
            stays.add(palace)
    return [one for one in going if one.palace not in stays]


def _put_away_late(repository: Repository, stored: Stored, data: bytes) -> None:
    """Keep the bytes of a snapshot for which there was no room before it was deleted."""
    try:
        repository.forgotten.put(stored.name, data)
    except NoSpace:
        repository.reporter.notice(
            f"{stored.id.hex()[:16]} of {stored.palace} cannot be brought back: the repository's"
            " disk is full"
        )
