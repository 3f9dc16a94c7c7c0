"""forget and its undoing in real repositories: also killed, raced, out of room and damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.retained import every
from tests.retained import snapshot as snapshot_of
from tests.support import SETTINGS, Place, flip, memory_repository

import palatine
from palatine.backends.memory import MemoryBackend
from palatine.errors import (
    AmbiguousRevision,
    Damaged,
    Malformed,
    NoSpace,
    NotFound,
    PalatineError,
    ReadOnly,
    Refused,
    UnknownRevision,
    UsageError,
)
from palatine.model.names import snapshot_key
from palatine.model.policy import PalaceRules, Policy, Rules
from palatine.model.snapshot import Missing, encode_snapshot_file
from palatine.ops import forget, policy, undelete
from palatine.ops.browse import cat
from palatine.ops.history import heads
from palatine.ops.revisions import resolve
from palatine.ops.snapshot import Request, snapshot
from palatine.ops.verify import Depth, verify
from palatine.store.forgotten import Forgotten
from palatine.store.repository import Repository
from palatine.store.snapshots import Stored
from palatine.testing.builders import START_US, FakeClock, Notices
from palatine.testing.faulty import FaultyBackend

HOUR = 3600.0
LAST = Policy(palaces=(PalaceRules("", "", "UTC", Rules(last=1)),))


class World:
    """Snapshots of a palace in memory, an hour apart; `what` says what each of them holds."""

    def __init__(self, root: Path, versions: int = 4) -> None:
        self.palace = root / "palace"
        self.palace.mkdir()
        (self.palace / "deep").mkdir()
        self.clock = FakeClock()
        self.what: dict[bytes, bytes] = {}
        base = MemoryBackend()
        with memory_repository(base) as repository:
            repository.clock = self.clock
            self.taken = [self.take(repository, number) for number in range(versions)]
        self.files = dict(base.files)

    def take(self, repository: Repository, number: int) -> Stored:
        self.clock.advance(HOUR)
        data = b"%d\n" % number + bytes(30_000)
        (self.palace / "deep" / "note").write_bytes(data)
        request = Request(self.palace, "default", "alpha", force=True)
        stored = snapshot(repository, request).stored
        self.what[stored.id] = data
        return stored

    def open(self, backend: FaultyBackend | MemoryBackend | None = None) -> Repository:
        if backend is None:
            backend = MemoryBackend(dict(self.files))
        return Repository(backend, None, SETTINGS, Notices(), self.clock)

    def check(self, repository: Repository) -> None:
        """Assert that each snapshot is there or forgotten, and whole either way."""
        here = {one.id: one for one in repository.list_snapshots()}
        gone = {one.id: one.stored for one in undelete.restorable(repository)}
        assert here.keys() | gone.keys() == self.what.keys()
        assert not here.keys() & gone.keys()
        for stored in [*here.values(), *gone.values()]:
            assert stored is not None
            assert b"".join(cat(repository, stored, "deep/note")) == self.what[stored.id]
        report = verify(repository, Depth.DATA)
        assert (report.damage, report.hits) == ([], [])

    def flaw(self, repository: Repository, stored: Stored) -> Stored:
        """Commit what looks like the next snapshot, in which something is missing."""
        self.clock.advance(HOUR)
        made = msgspec.structs.replace(
            stored.snapshot, time_us=self.clock.now_us(), wall_us=self.clock.now_us(),
            missing=(Missing(b"deep/other", "it could not be read"),), parents=(stored.id,),
        )  # fmt: skip
        object_id, data = encode_snapshot_file(made, repository.digest)
        key = snapshot_key(made.time_us, object_id[:8])
        flawed = Stored(object_id, key, made, ())
        assert repository.backend.create(flawed.name, data)
        return flawed

    def short(self, at: int) -> str:
        return self.taken[at].id.hex()[:12]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def stays(repository: Repository) -> list[bytes]:
    return [one.id for one in repository.list_snapshots()]


def forget_old(repository: Repository) -> forget.Plan:
    return forget.execute(repository, forget.plan_rules(repository, LAST))


def test_what_goes_can_still_be_read_and_brought_back(place: Place) -> None:
    contents = []
    for number in range(3):
        (place.palace / "note").write_text(f"version {number}")
        contents.append(place.snapshot().stored)
    old, middle, _ = contents
    with place.open() as repository:
        plan = repository.forget(rules=Rules(last=1))
        assert [one.id for one in plan.forgotten] == [middle.id, old.id]
        assert [one.id for one in repository.log()] == [contents[2].id]
        assert [one.id for one in repository.forgotten()] == [old.id, middle.id]
        assert b"".join(repository.cat(f"{old.id.hex()[:12]}:note")) == b"version 0"
        assert any("was forgotten" in said for said in place.notices.said)
    assert (place.restored(old.id.hex()) / "note").read_text() == "version 0"
    with place.open() as repository:
        back = repository.tag(old.id.hex()[:10], "wanted")
        assert (back.id, back.tags) == (old.id, ("wanted",))
        assert back.key != old.key
        assert [one.id for one in repository.log()] == [contents[2].id, old.id]
        assert [one.id for one in repository.forgotten()] == [middle.id]
        repository.untag(old.id.hex(), "wanted")
        assert len(repository.log()) == 2
    assert place.verify().ok
    names = [path.relative_to(place.repository).parts[0] for path in place.files("")]
    assert names.count("snapshots") == 2
    assert names.count("forgotten") == 1
    assert "tags" not in names


def test_a_dry_run_changes_nothing(world: World) -> None:
    with world.open() as repository:
        before = dict(repository.backend.files)  # type: ignore[attr-defined]
        plan = forget.plan_rules(repository, LAST)
        assert [one.id for one in plan.going] == [one.id for one in world.taken[2::-1]]
        assert repository.backend.files == before  # type: ignore[attr-defined]


def test_killed_at_every_change(world: World) -> None:
    for limit in range(200):
        backend = FaultyBackend(MemoryBackend(dict(world.files)))
        backend.crash_after(limit)
        with world.open(backend) as repository:
            try:
                forget_old(repository)
                done = True
            except PalatineError:
                done = False
        backend.heal()
        with world.open(backend) as repository:
            world.check(repository)
            forget_old(repository)
            world.check(repository)
            assert stays(repository) == [world.taken[-1].id]
        if done:
            assert limit >= 6
            return
    raise AssertionError("it never came to its end")


def forgotten_files(world: World) -> dict[str, bytes]:
    """Return the repository's files with all but the newest forgotten."""
    backend = MemoryBackend(dict(world.files))
    with world.open(backend) as repository:
        forget_old(repository)
    return backend.files


def test_bringing_back_killed_at_every_change(world: World) -> None:
    files = forgotten_files(world)
    for limit in range(200):
        backend = FaultyBackend(MemoryBackend(dict(files)))
        backend.crash_after(limit)
        with world.open(backend) as repository:
            try:
                undelete.tag(repository, world.taken[0], "back")
                done = True
            except PalatineError:
                done = False
        backend.heal()
        with world.open(backend) as repository:
            world.check(repository)
            (first,) = [one for one in _everything(repository) if one.id == world.taken[0].id]
            # never back without the tag that is to protect it
            assert first.id not in stays(repository) or first.tags == ("back",)
            back = undelete.tag(repository, first, "again")
            world.check(repository)
            assert stays(repository) == [world.taken[0].id, world.taken[-1].id]
            (stored,) = [one for one in repository.list_snapshots() if one.id == back.id]
            assert "again" in stored.tags
        if done:
            assert limit >= 4
            return
    raise AssertionError("it never came to its end")


def interleaved(
    world: World, outer: Callable[[Repository], object], inner: Callable[[Repository], object]
) -> Iterator[tuple[Repository, bool, bool]]:
    """Run one verb, and another as a whole before each of its changes and after its end.

    Yields the repository afterwards, and for both whether they said that it was done.
    """
    for at in range(200):
        backend = FaultyBackend(MemoryBackend(dict(world.files)))
        seen, inner_done = 0, False

        files: dict[str, bytes] = backend.inner.files  # type: ignore[attr-defined]

        def before(kind: str, name: str, at: int = at, files: dict[str, bytes] = files) -> None:
            nonlocal seen, inner_done
            seen += 1
            if seen == at + 1:
                with world.open(MemoryBackend(files)) as other:
                    inner_done = attempt(inner, other)

        backend.before_change = before
        with world.open(backend) as repository:
            outer_done = attempt(outer, repository)
        reached = seen > at
        with world.open(MemoryBackend(files)) as repository:
            if not reached:
                inner_done = attempt(inner, repository)
            yield repository, outer_done, inner_done
        if not reached:
            return
    raise AssertionError("it never came to its end")


def attempt(work: Callable[[Repository], object], repository: Repository) -> bool:
    try:
        work(repository)
    except PalatineError:
        return False
    return True


def tag_first(repository: Repository) -> None:
    """Put a tag on the first snapshot, wherever it is found."""
    first = next(one for one in _everything(repository) if one.snapshot.time_us == FIRST_US)
    undelete.tag(repository, first, "mine")


FIRST_US = START_US + 3_600_000_000


def _everything(repository: Repository) -> list[Stored]:
    gone = [one.stored for one in undelete.restorable(repository) if one.stored is not None]
    return [*repository.list_snapshots(), *gone]


@pytest.mark.parametrize("tag_is_outer", [False, True])
def test_a_tag_that_was_put_is_never_lost_to_a_forget(world: World, tag_is_outer: bool) -> None:
    verbs = (tag_first, forget_old) if tag_is_outer else (forget_old, tag_first)
    rounds = tagged = 0
    for repository, outer_done, inner_done in interleaved(world, *verbs):
        rounds += 1
        world.check(repository)
        if outer_done if tag_is_outer else inner_done:
            tagged += 1
            (first,) = [one for one in repository.list_snapshots() if one.id == world.taken[0].id]
            assert first.tags == ("mine",), rounds
    assert rounds >= (2 if tag_is_outer else 7)
    assert tagged == rounds


def test_two_who_forget_at_once(world: World) -> None:
    for repository, one, other in interleaved(world, forget_old, forget_old):
        assert one
        assert other
        world.check(repository)
        assert stays(repository) == [world.taken[-1].id]


def named(world: World, *which: int) -> Callable[[Repository], object]:
    """Forget some snapshots by name; refused if they are the last ones."""

    def work(repository: Repository) -> None:
        forget.execute(
            repository, forget.plan_named(repository, [world.short(one) for one in which])
        )

    return work


@pytest.mark.parametrize("inner", [(2, 3), (3,), ()])
def test_two_who_forget_different_snapshots_leave_the_last(
    world: World, inner: tuple[int, ...]
) -> None:
    """Each of them leaves what the other forgets; the inner one without names goes by rules."""
    outer = (0, 1) if 2 in inner else (0, 1, 2) if inner else (3,)
    rounds = 0
    other = named(world, *inner) if inner else forget_old
    for repository, _, _ in interleaved(world, named(world, *outer), other):
        rounds += 1
        world.check(repository)
        assert stays(repository)
    assert rounds >= 3


def test_two_who_planned_before_either_forgot_leave_the_last(world: World) -> None:
    with world.open() as repository:
        first = forget.plan_named(repository, [world.short(at) for at in (0, 1)])
        second = forget.plan_named(repository, [world.short(at) for at in (2, 3)])
        assert len(forget.execute(repository, first).forgotten) == 2
        assert forget.execute(repository, second).forgotten == ()
        assert stays(repository) == [one.id for one in world.taken[2:]]
        notices = repository.reporter
        assert isinstance(notices, Notices)
        assert any("would lose the last snapshot" in said for said in notices.said)
        again = forget.plan_named(repository, [world.short(at) for at in (2, 3)], even_last=True)
        assert len(forget.execute(repository, again).forgotten) == 2


def test_two_who_forget_leave_the_last_sound_snapshot(world: World) -> None:
    with world.open() as repository:
        forget.execute(repository, forget.plan_named(repository, [world.short(0), world.short(1)]))
        world.flaw(repository, world.taken[-1])
        first = forget.plan_named(repository, [world.short(2)])
        second = forget.plan_named(repository, [world.short(3)])
        assert len(forget.execute(repository, first).forgotten) == 1
        assert forget.execute(repository, second).forgotten == ()
        assert world.taken[-1].id in stays(repository)


def test_what_lies_in_condemned_packs_is_written_again_when_it_comes_back(world: World) -> None:
    files = forgotten_files(world)
    packs = [name for name in files if name.startswith("packs/")]
    for name in packs:
        files["condemned/" + name.rpartition("/")[2]] = b""
    backend = MemoryBackend(files)
    with world.open(backend) as repository:
        back = undelete.tag(repository, world.taken[1], "back")
    # the collector's end, for a snapshot that it does not know of otherwise
    for name in [*packs, *(name for name in files if name.startswith(("index/", "condemned/")))]:
        if name in world.files or name.startswith("condemned/"):
            del files[name]
    with world.open(backend) as repository:
        assert b"".join(cat(repository, back, "deep/note")) == world.what[back.id]


def test_what_is_not_there_any_more_does_not_come_back(world: World) -> None:
    files = forgotten_files(world)
    for name in [name for name in files if name.startswith(("packs/", "index/"))]:
        del files[name]
    with world.open(MemoryBackend(files)) as repository:
        with pytest.raises(Damaged):
            undelete.tag(repository, world.taken[0], "back")
        assert stays(repository) == [world.taken[-1].id]
        assert len(undelete.restorable(repository)) == 3
    assert not [name for name in files if name.startswith(("sessions/", "tags/"))]


def test_a_tag_on_what_gc_was_quicker_to_collect(world: World) -> None:
    backend = MemoryBackend(dict(world.files))
    with world.open(backend) as repository:
        first = repository.list_snapshots()[0]
        forget_old(repository)
        repository.forgotten.collect(repository.forgotten.all(repository.reporter))
        with pytest.raises(NotFound):
            undelete.tag(repository, first, "late")


def test_a_snapshot_that_was_pushed_twice_goes_altogether(world: World) -> None:
    files = dict(world.files)
    first = world.taken[0]
    files[first.name[:-1] + ("0" if first.name[-1] != "0" else "1")] = files[first.name]
    with world.open(MemoryBackend(files)) as repository:
        plan = forget_old(repository)
        assert {one.id for one in plan.forgotten} == {one.id for one in world.taken[:3]}
        world.check(repository)
        assert len(stays(repository)) == 1


def test_tags_of_a_snapshot_that_was_pushed_twice(world: World) -> None:
    first = world.taken[0]
    twin = first._replace(key=first.key[:-16] + "f" * 16)
    files = {**world.files, twin.name: world.files[first.name]}
    with world.open(MemoryBackend(files)) as store:
        repository = palatine.Repository(store)
        store.snapshots.add_tag(first, "one")
        store.snapshots.add_tag(twin, "two")
        assert repository.resolve("alpha#two").tags == ("one", "two")
        assert not [one for one in forget_old(store).forgotten if one.id == first.id]
        for tag in ("one", "two"):
            assert tag not in repository.untag(first.id.hex(), tag).tags
        assert [one.id for one in forget_old(store).forgotten] == [first.id]
        assert stays(store) == [world.taken[-1].id]


@pytest.mark.parametrize("even_then", [False, True])
def test_on_a_full_disk(world: World, even_then: bool) -> None:
    backend = FaultyBackend(MemoryBackend(dict(world.files)))
    backend.fail("put", error=NoSpace("full"), prefix="forgotten/", forever=even_then)
    with world.open(backend) as repository:
        forget_old(repository)
        assert stays(repository) == [world.taken[-1].id]
        whole = {one.id for one in undelete.restorable(repository)}
        said = [one for one in repository.reporter.said if "cannot be brought back" in one]  # type: ignore[attr-defined]
        assert (len(whole), len(said)) == ((0, 3) if even_then else (3, 0))


def test_a_read_only_repository_is_left_alone(world: World) -> None:
    backend = FaultyBackend(MemoryBackend(dict(world.files)))
    backend.fail("put", error=ReadOnly("no"), prefix="forgotten/")
    with world.open(backend) as repository:
        with pytest.raises(ReadOnly):
            forget_old(repository)
        assert len(stays(repository)) == 4


def test_nothing_is_forgotten_by_rules_while_a_snapshot_file_is_damaged(place: Place) -> None:
    for number in range(3):
        (place.palace / "note").write_text(f"version {number}")
        place.snapshot()
    first, *_ = place.files("snapshots")
    flip(first, 60)
    (place.root / "cache").rename(place.root / "aside")  # the catalog holds a copy
    with place.open() as repository:
        with pytest.raises(Damaged, match="nothing is forgotten"):
            repository.forget(rules=Rules(last=1))
        assert len(repository.log()) == 2
    assert len(place.files("snapshots")) == 3


def test_the_last_snapshot_stays(world: World) -> None:
    ids = [one.id.hex() for one in world.taken]
    with world.open() as repository:
        with pytest.raises(Refused, match="the last snapshot") as caught:
            forget.plan_named(repository, ids)
        assert "--even-last" in caught.value.hint
        assert len(forget.plan_named(repository, ids, even_last=True).going) == 4
        assert len(forget.plan_named(repository, ids[:3]).going) == 3
        assert len(forget.plan_named(repository, [ids[3], "alpha"]).going) == 1


def test_the_last_sound_snapshot_stays(world: World) -> None:
    with world.open() as repository:
        sound = world.taken[-1]
        forget_old(repository)
        flawed = world.flaw(repository, sound)
        with pytest.raises(Refused, match="the last complete and healthy snapshot"):
            forget.plan_named(repository, [sound.id.hex()])
        assert forget.plan_named(repository, [flawed.id.hex()]).going == [flawed]
        forget.execute(repository, forget.plan_named(repository, [sound.id.hex()], even_last=True))
        world.flaw(repository, flawed)
        assert forget.plan_named(repository, [flawed.id.hex()]).going  # none was sound anyway


def test_a_tagged_snapshot_is_not_forgotten_by_its_name(world: World) -> None:
    with world.open() as repository:
        first = repository.list_snapshots()[0]
        undelete.tag(repository, first, "release")
        with pytest.raises(Refused, match="'release'") as caught:
            forget.plan_named(repository, [first.id.hex()], even_last=True)
        assert "pal tag -d" in caught.value.hint


def test_a_pre_restore_snapshot_may_be_named_after_its_week(world: World) -> None:
    with world.open() as repository:
        first = repository.list_snapshots()[0]
        undelete.tag(repository, first, "pre-restore")
        with pytest.raises(Refused):
            forget.plan_named(repository, [first.id.hex()])
        world.clock.advance(7 * 24 * HOUR)
        assert forget.plan_named(repository, [first.id.hex()]).going
        forget_old(repository)
        assert stays(repository) == [world.taken[-1].id]


def test_rules_that_would_leave_nothing_are_refused(world: World) -> None:
    tags = Policy(palaces=(PalaceRules("", "", "", Rules(tags=("none",))),))
    with world.open() as repository:
        assert len(forget.plan_rules(repository, tags).going) == 3
        with pytest.raises(Refused, match="every snapshot of alpha"):
            forget.plan_rules(repository, tags, even_last=True)
        with pytest.raises(UsageError, match="no rule"):
            forget.plan_rules(repository, Policy(palaces=(PalaceRules("", "", "", Rules()),)))


def test_one_palace_only(world: World) -> None:
    with world.open() as repository:
        world.clock.advance(HOUR)
        for _ in range(3):
            snapshot(repository, Request(world.palace, "team", "beta", force=True))
        assert len(forget.plan_rules(repository, LAST, "team/beta").going) == 2
        assert len(forget.plan_rules(repository, LAST).going) == 5
        with pytest.raises(UnknownRevision):
            forget.plan_rules(repository, LAST, "beta")


def test_ids_of_what_was_forgotten(world: World) -> None:
    with world.open(MemoryBackend(forgotten_files(world))) as store:
        repository = palatine.Repository(store)
        first = repository.resolve(world.short(0))
        assert first.id == world.taken[0].id
        assert repository.resolve(world.short(1) + "~").id == first.id
        with pytest.raises(UnknownRevision):
            repository.resolve("alpha~1")
        with pytest.raises(UnknownRevision):
            repository.forget(world.short(0))
        store.forgotten.collect(repository.forgotten())
        with pytest.raises(UnknownRevision, match="gc has removed"):
            repository.resolve(world.short(0))


def test_a_prefix_means_what_is_here_before_what_was_forgotten() -> None:
    ids = [bytes([0xAB]) * 5 + bytes([number]) * 27 for number in range(4)]
    line = every(3_600_000_000, 4, START_US)
    kept, *gone = (one._replace(id=ids[at]) for at, one in enumerate(line))
    entries = [Forgotten(one.id, one.name, one) for one in gone]
    assert resolve([kept], "abababab", START_US, lambda: entries) == kept
    assert resolve([kept], ids[2].hex(), START_US, lambda: entries) == gone[1]
    with pytest.raises(AmbiguousRevision, match="forgotten"):
        resolve([], "abababab", START_US, lambda: entries)
    with pytest.raises(UnknownRevision):
        resolve([kept], "abababac", START_US, lambda: entries)
    with pytest.raises(UnknownRevision, match="gc has removed"):
        resolve([], "abababab", START_US, lambda: [entries[0]._replace(stored=None)])


def test_going_back_passes_over_what_was_forgotten() -> None:
    line = every(3_600_000_000, 6, START_US)
    elsewhere = snapshot_of(START_US + 1_800_000_000, host="other")
    rest = [line[0], elsewhere, line[2], line[5]]
    assert resolve(rest, "alpha~", START_US) == line[2]
    assert resolve(rest, "alpha~2", START_US) == line[0]
    with pytest.raises(UnknownRevision, match="further"):
        resolve(rest, "alpha~3", START_US)
    at = START_US + 3 * 3_600_000_000
    assert resolve(rest, f"{line[5].id.hex()}@{{0s}}", at) == line[2]
    assert [one.id for one in heads(rest)] == [elsewhere.id, line[5].id]


def test_what_changed_is_told_against_what_is_left(place: Place) -> None:
    for number in range(4):
        (place.palace / f"{number}").write_text("x")
        place.snapshot()
    with place.open() as repository:
        newest, third, second, first = repository.log()
        repository.forget(third.id.hex(), first.id.hex())
        assert repository.resolve("palace~").id == second.id
        assert [one.path for one in repository.diff("palace~", "palace")] == [b"2", b"3"]
        assert [len(one.heads) for one in repository.palaces()] == [1]
        assert newest.snapshot.parents == (third.id,)


def test_a_policy_is_stored_and_applied(world: World) -> None:
    general = PalaceRules("", "", "UTC", Rules(last=1))
    own = PalaceRules("default", "alpha", "", Rules(last=2))
    with world.open() as repository:
        assert policy.apply(repository) is None
        assert policy.current(repository) == (0, Policy())
        policy.change(repository, "", "", general)
        policy.change(repository, "default", "alpha", own)
        assert policy.current(repository) == (2, Policy(palaces=(general, own)))
        plan = policy.apply(repository, dry_run=True)
        assert plan is not None
        assert [len(plan.going), len(plan.forgotten), len(stays(repository))] == [2, 0, 4]
        policy.apply(repository)
        assert stays(repository) == [one.id for one in world.taken[2:]]
        policy.change(repository, "default", "alpha", None)
        policy.apply(repository)
        assert stays(repository) == [world.taken[3].id]
        policy.change(repository, "", "", None)
        assert policy.apply(repository) is None
        with pytest.raises(UsageError):
            policy.change(repository, "", "", PalaceRules("", "", "", Rules()))


def test_two_who_change_the_policy_at_once(world: World) -> None:
    rules = [PalaceRules("default", name, "", Rules(last=1)) for name in ("alpha", "beta")]

    def change(repository: Repository, which: int) -> None:
        policy.change(repository, "default", rules[which].palace, rules[which])

    rounds = 0
    verbs = (lambda repository: change(repository, 0), lambda repository: change(repository, 1))
    for repository, *done in interleaved(world, *verbs):
        rounds += 1
        assert all(done)
        assert policy.current(repository)[1].palaces == tuple(rules)
    assert rounds >= 2


def test_a_damaged_policy_forgets_nothing_and_can_be_mended(world: World) -> None:
    with world.open() as repository:
        own = PalaceRules("default", "alpha", "", Rules(last=2))
        policy.change(repository, "default", "alpha", own)
        policy.change(repository, "", "", PalaceRules("", "", "", Rules(last=7)))
        data = repository.backend.get("policy/2")
        repository.backend.put("policy/2", data.replace(b":7", b":1"))
        with pytest.raises(Malformed, match="policy/2"):
            policy.apply(repository)
        assert len(stays(repository)) == 4
        mended = policy.change(repository, "", "", PalaceRules("", "", "", Rules(last=8)))
        assert [one.rules.last for one in mended.palaces] == [8, 2]
        assert policy.current(repository) == (3, mended)
        assert any("policy/2" in said for said in repository.reporter.said)  # type: ignore[attr-defined]
        repository.backend.put("policy/010", b"")
        repository.backend.put("policy/x", b"")
        assert policy.current(repository)[0] == 3
