"""verify says what is hit, all of it; reading never gives wrong bytes; the rest restores."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from tests.capture.trees import contents
from tests.support import BLAKE3, Place, count, damage_frames, flip, frames_of

import palatine
from palatine.backends.local import LocalBackend
from palatine.errors import FormatTooNew, PalatineError, RepositoryError, UsageError
from palatine.ids import Kind
from palatine.model.names import pack_name
from palatine.model.snapshot import encode_snapshot_file
from palatine.model.tree import Part
from palatine.testing.builders import State, differences, page_edits, state_of


class Little(NamedTuple):
    """A small repository with every kind of frame and file, and what it holds."""

    place: Place
    states: dict[str, dict[bytes, State]]


def fill(place: Place) -> Little:
    rng = Random(7)
    palace = place.palace
    states = {}
    (palace / "sub").mkdir()
    (palace / "kg.db").write_bytes(rng.randbytes(150_000))
    (palace / "text").write_bytes(rng.randbytes(20_000))
    for number in range(5):
        (palace / "sub" / f"{number}.md").write_bytes(b"note %d" % number * 20)
    for version in range(3):
        data = (palace / "kg.db").read_bytes()
        (palace / "kg.db").write_bytes(page_edits(rng, data, 2))
        (palace / "sub" / "new.md").write_bytes(b"version %d" % version)
        done = place.snapshot(tags=[f"v{version}"])
        states[done.stored.id.hex()] = state_of(palace)
    return Little(place, states)


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Little:
    return fill(Place(tmp_path_factory.mktemp("little")))


@pytest.fixture
def whole(little: Little) -> Iterator[Little]:
    """The little repository; whatever a test does to it is undone."""
    kept = little.place.root / "kept"
    shutil.copytree(little.place.repository, kept)
    little.place.notices.said.clear()
    yield little
    shutil.rmtree(little.place.repository)
    kept.rename(little.place.repository)


def test_what_is_whole_is_called_whole(whole: Little) -> None:
    report = whole.place.verify()
    assert report.ok
    assert (report.damage, report.hits, report.warnings) == ([], [], [])
    assert report.snapshots == 3
    assert report.packs == report.packs_read == len(whole.place.packs())
    assert report.bytes_read == whole.place.stored()
    assert frames_of(whole.place, Kind.CHUNK)


def places_to_hurt(place: Place) -> list[tuple[Path, int]]:
    """Return every byte of every file that is not a mere name."""
    folders = ("packs", "index", "snapshots")
    files = [place.repository / "config", *(one for name in folders for one in place.files(name))]
    return [(path, at) for path in files for at in range(path.stat().st_size)]


def read_all(little: Little, repository: palatine.Repository) -> set[tuple[str, bytes]]:
    """Read every file of every snapshot: exact bytes or an error. Return what could not be read."""
    unreadable = set()
    for revision, state in little.states.items():
        for path, one in state.items():
            if one.kind != "file":
                continue
            try:
                data = b"".join(repository.cat(f"{revision}:{path.decode()}"))
            except PalatineError:
                unreadable.add((revision, path))
            else:
                assert data == one.data
    return unreadable


def check_damaged(little: Little, path: Path) -> None:
    """Assert all the promises about a repository one of whose files was hurt."""
    place = little.place
    relative = str(path.relative_to(place.repository))
    if relative == "config":
        with pytest.raises(PalatineError) as raised:
            place.open()
        assert raised.value.hint
        return
    with place.open() as repository:
        report = repository.verify(data=True)
        assert not report.ok, relative
        said = " ".join(report.damage)
        assert path.name in said
        unreadable = read_all(little, repository)
        hit = {(one.stored.id.hex(), path) for one in report.hits for path in one.paths}
        gone = set(little.states) - {stored.id.hex() for stored in repository.log()}
        assert not gone or relative.startswith("snapshots/")
        for revision, path_hit in unreadable:
            above = {b"."} | {
                path_hit[:at]
                for at in range(len(path_hit) + 1)
                if path_hit[at : at + 1] in (b"/", b"")
            }
            assert revision in gone or any((revision, one) in hit for one in above)
        for revision, state in little.states.items():
            if revision in gone or any(one == revision for one, _ in unreadable):
                continue
            target = place.root / "out"
            repository.restore(revision, target)
            assert differences(state, state_of(target)) == []
            shutil.rmtree(target)


@pytest.mark.parametrize("seed", range(count(6, 100)))
@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_no_flipped_byte_passes(whole: Little, seed: int, cache: str) -> None:
    rng = Random(seed)
    positions = places_to_hurt(whole.place)
    for _ in range(count(12, 50)):
        path, at = rng.choice(positions)
        if rng.random() < 0.4:  # as often in a small file as in a large one
            path = rng.choice([path for path, at in positions if at == 0])
            at = rng.randrange(path.stat().st_size)
        if cache == "cold":
            shutil.rmtree(whole.place.cache, ignore_errors=True)
        mask = rng.randrange(1, 256)
        flip(path, at, mask)
        check_damaged(whole, path)
        flip(path, at, mask)
    shutil.rmtree(whole.place.cache, ignore_errors=True)
    assert whole.place.verify().ok


@pytest.mark.parametrize("seed", range(count(4, 50)))
@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_no_file_that_is_cut_or_grown_passes(whole: Little, seed: int, cache: str) -> None:
    rng = Random(seed)
    files = [path for path, at in places_to_hurt(whole.place) if at == 0]
    for path in rng.sample(files, min(len(files), count(5, 12))):
        data = path.read_bytes()
        if cache == "cold":
            shutil.rmtree(whole.place.cache, ignore_errors=True)
        how = rng.randrange(4)
        path.write_bytes((data[: rng.randrange(len(data))], data[:-1], data + b"\0", b"")[how])
        check_damaged(whole, path)
        path.write_bytes(data)
        whole.place.verify()
    assert whole.place.verify().ok


def test_every_byte_of_one_small_pack_is_guarded(place: Place) -> None:
    (place.palace / "note").write_bytes(b"a note")
    little = Little(place, {place.snapshot().stored.id.hex(): state_of(place.palace)})
    for path in place.packs():
        for at in range(0, path.stat().st_size, count(3, 1)):
            flip(path, at, 0x41)
            check_damaged(little, path)
            flip(path, at, 0x41)
    assert place.verify().ok


def test_a_flip_without_an_index_leaves_the_rest_readable(whole: Little) -> None:
    """The version byte of a trailer, too: a damaged pack is no newer palatine."""
    for path in whole.place.packs():
        for back in (1, 5, 20, 44, 60):
            shutil.rmtree(whole.place.cache, ignore_errors=True)
            shutil.rmtree(whole.place.repository / "index", ignore_errors=True)
            flip(path, path.stat().st_size - back, 3)
            check_damaged(whole, path)
            flip(path, path.stat().st_size - back, 3)


@pytest.mark.parametrize("folder", ["packs", "index", "snapshots"])
def test_a_file_that_is_missing_is_noticed_where_it_can_be(whole: Little, folder: str) -> None:
    for path in whole.place.files(folder):
        data = path.read_bytes()
        path.unlink()
        with whole.place.open() as repository:
            report = repository.verify(data=True)
            unreadable = read_all(whole, repository)
            if folder == "packs":
                assert not report.ok
                assert any(path.name in sentence for sentence in report.damage)
            if folder == "index":
                assert report.ok
                assert not unreadable
            if folder == "snapshots":
                assert {revision for revision, _ in unreadable} <= set(whole.states)
                assert len(repository.log()) == 2
        path.write_bytes(data)


def test_the_report_names_pack_snapshots_and_paths(place: Place) -> None:
    (place.palace / "sub").mkdir()
    (place.palace / "sub" / "big.db").write_bytes(contents(1, 300_000))
    (place.palace / "note").write_bytes(b"note")
    first = place.snapshot().stored
    (place.palace / "note").write_bytes(b"other")
    second = place.snapshot().stored
    (place.palace / "sub" / "big.db").unlink()
    place.snapshot()
    with place.open() as repository:
        (entry,) = [one.entry for one in repository.ls("palace~1:sub")]
    (hurt,) = [frame for frame in frames_of(place, Kind.CHUNK) if frame[2] > 200_000]
    assert len(entry.parts) == 1
    flip(hurt[0], hurt[1] + 1000)
    report = place.verify()
    assert [(hit.stored.id, hit.paths) for hit in report.hits] == [
        (first.id, (b"sub/big.db",)),
        (second.id, (b"sub/big.db",)),
    ]
    assert all(hurt[0].name in sentence for sentence in report.damage)
    assert entry.parts[0].id.hex() in " ".join(report.damage)


def test_a_damaged_root_takes_its_deltas_along_and_all_are_named(place: Place) -> None:
    rng = Random(3)
    data = contents(1, 300_000)
    for _ in range(10):
        (place.palace / "kg.db").write_bytes(data)
        place.snapshot()
        data = page_edits(rng, data, 1)
    (root,) = [frame for frame in frames_of(place, Kind.CHUNK) if frame[2] > 200_000]
    flip(root[0], root[1] + 1000)
    report = place.verify()
    assert [hit.paths for hit in report.hits] == [(b"kg.db",)] * 10


def test_a_damaged_delta_takes_only_those_that_stand_on_it(place: Place) -> None:
    rng = Random(3)
    data = contents(1, 300_000)
    taken = []
    for _ in range(6):
        (place.palace / "kg.db").write_bytes(data)
        taken.append(place.snapshot().stored.id)
        data = page_edits(rng, data, 1)
    with place.open() as repository:
        parts = [
            next(one.entry for one in repository.ls(revision.hex())).parts[0].id
            for revision in taken
        ]
        index = repository.store.index
        frames = {
            frame.members[0].id: (name, frame)
            for name, size in index.listed().items()
            for frame in index.read_footer(name, size).frames
        }
    name, frame = frames[parts[2]]
    flip(place.repository / "packs" / name.hex()[:2] / name.hex(), frame.offset + frame.length - 9)
    standing = {parts[2]}
    for part in parts[3:]:
        if frames[part][1].base in standing:
            standing.add(part)
    hurt = [revision for revision, part in zip(taken, parts, strict=True) if part in standing]
    assert [hit.stored.id for hit in place.verify().hits] == hurt
    assert len(hurt) > 1


def test_damage_found_by_reading_is_said_without_a_traceback(place: Place) -> None:
    fill(place)
    assert damage_frames(place, Kind.CHUNK)
    with place.open() as repository:
        for revision in ("palace", "palace~2"):
            with pytest.raises(PalatineError) as raised:
                b"".join(repository.cat(f"{revision}:kg.db"))
            assert raised.value.code == "damaged"
            assert "verify" in raised.value.hint


def test_a_sample_reads_a_share_of_the_packs(whole: Little) -> None:
    packs = len(whole.place.packs())
    report = whole.place.verify(data=False, sample=0.5, seed=1)
    assert report.ok
    assert 0 < report.packs_read < packs
    assert whole.place.verify(data=False, sample=1.0).packs_read == packs
    assert whole.place.verify(data=False).packs_read == 0
    for wrong in ({"data": True, "sample": 0.5}, {"data": False, "sample": 0.0},
                  {"data": False, "sample": 1.1}):  # fmt: skip
        with pytest.raises(UsageError):
            whole.place.verify(**wrong)


def test_samples_find_damage_sooner_or_later(whole: Little) -> None:
    for path in whole.place.packs():
        flip(path, path.stat().st_size // 2)
    assert not whole.place.verify(data=False, sample=0.1, seed=3).ok


def test_structure_alone_notices_what_is_cut_or_gone(whole: Little) -> None:
    path = max(whole.place.packs(), key=lambda one: one.stat().st_size)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert not whole.place.verify(data=False).ok
    path.unlink()
    report = whole.place.verify(data=False)
    assert not report.ok
    assert report.hits


def test_what_a_killed_writer_left_is_no_damage(place: Place) -> None:
    """Packs that no snapshot needs, and an announcement nobody withdrew."""
    fill(place)
    with place.open() as repository, repository.store.writing("default", "x", 1) as (_, writer):
        writer.put(Kind.CHUNK, contents(5, 100_000))
        writer.flush()
    (place.repository / "sessions" / ("0" * 32)).write_bytes(b"{}")
    assert place.verify().ok


def test_a_snapshot_renamed_to_another_palace_is_damage(place: Place) -> None:
    fill(place)
    path = place.files("snapshots")[0]
    other = path.parent.parent / "other" / path.name
    other.parent.mkdir()
    path.rename(other)
    report = place.verify()
    assert any("other" in sentence for sentence in report.damage)


def test_what_cannot_be_read_is_neither_sound_nor_damaged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad sector, or a file another user owns: the rest is checked, and it is said."""
    place.palace.joinpath("note").write_bytes(b"note")
    place.snapshot()
    pack = place.packs()[0].name
    read = LocalBackend.read

    def failing(backend: LocalBackend, name: str, offset: int, length: int) -> bytes:
        if name.endswith(pack[-16:]):
            raise RepositoryError(f"the repository failed at {name}: Input/output error")
        return read(backend, name, offset, length)

    monkeypatch.setattr(LocalBackend, "read", failing)
    for data in (False, True):
        with place.open() as repository:
            report = repository.verify(data=data)
        assert report.ok
        assert any(pack[-16:] in sentence for sentence in report.unchecked)


def test_an_object_in_another_encoding_is_a_finding(place: Place) -> None:
    """Its id is right: the bytes are as written, and no writer of ours wrote them."""
    with place.open() as repository:
        store = repository.store
        made = repository.snapshot(place.palace).stored.snapshot
        with store.writing("default", "other", made.time_us) as (session, writer):
            tree = writer.put(Kind.TREE, b"\xdc\x00\x04\x00\x90\x90\x90")
            writer.flush()
            root = msgspec.structs.replace(made.root, parts=(Part(tree, 0),))
            other = msgspec.structs.replace(made, palace="other", root=root)
            session.commit(encode_snapshot_file(other, store.digest)[1])
        report = repository.verify(data=True)
        assert not report.ok
        assert {hit.stored.palace for hit in report.hits} == {"other"}
        assert any("not canonical" in sentence for sentence in report.damage)
        with pytest.raises(palatine.errors.Damaged, match="not canonical"):
            repository.restore("other", place.root / "restored")


def rewritten(place: Place, folder: str, change: Callable[[bytes], bytes], honest: bool) -> None:
    """Change a file of the repository; `honest`: under the name that its bytes then have."""
    path = place.files(folder)[0]
    data = change(path.read_bytes())
    path.unlink()
    name = BLAKE3.of(data).hex() if honest else path.name
    path = (
        path.parent / name
        if folder == "index"
        else place.repository / pack_name(bytes.fromhex(name))
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


LATER = {
    "packs": lambda data: data[:-1] + b"\x02",  # the version in the end magic
    "index": lambda data: data[:7] + b"\x02" + data[8:],
}


@pytest.mark.parametrize("folder", ["packs", "index"])
def test_what_a_newer_palatine_wrote_is_refused(whole: Little, folder: str) -> None:
    place = whole.place
    rewritten(place, folder, LATER[folder], honest=True)
    names = sorted(path.name for path in place.files(folder))
    for cache in (None, place.root / "fresh"):
        with place.open(cache=cache) as repository:
            for act in (
                lambda: repository.verify(data=True),
                lambda: repository.snapshot(place.palace, force=True),
                lambda: repository.restore("palace", place.root / "not-made"),
                repository.reindex,
            ):
                with pytest.raises(FormatTooNew, match="newer palatine") as raised:
                    act()
                assert raised.value.hint == "upgrade palatine"
    assert sorted(path.name for path in place.files(folder)) == names


@pytest.mark.parametrize("folder", ["packs", "index"])
def test_a_flipped_version_is_damage(whole: Little, folder: str) -> None:
    place = whole.place
    shutil.rmtree(place.cache, ignore_errors=True)
    if folder == "packs":
        shutil.rmtree(place.repository / "index")
    rewritten(place, folder, LATER[folder], honest=False)
    report = place.verify()
    assert not report.ok
    assert not report.unchecked
    assert any("do not have its digest" in one for one in report.damage)
