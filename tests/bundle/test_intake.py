"""Native bundles into repositories: what comes back is what was there, and mostly its very id."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from tests.bundle.archives import exported
from tests.bundle.handmade import Handmade
from tests.capture.trees import TREES, Thing, make
from tests.support import Place, count

from palatine.bundle.limits import Limits
from palatine.errors import Refused
from palatine.fsio import remove_tree
from palatine.ops.intake import Imported, Request
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES

FOLDING = Limits(allow_case_folding=True)


def take(place: Place, file: Path | None, **more: object) -> Imported:
    """Import a bundle into a place's repository."""
    assert file is not None
    with place.open() as repository:
        request = Request(file, **{"limits": FOLDING, **more})  # type: ignore[arg-type]
        return repository.import_bundle(request)


def elsewhere(place: Place, name: str = "elsewhere", digest: str = "blake3") -> Place:
    """Return another empty place with a repository."""
    (place.root / name).mkdir()
    return Place(place.root / name, digest)


@given(things=TREES)
def test_every_tree_comes_back_with_its_id(
    tmp_path_factory: pytest.TempPathFactory, things: list[Thing]
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    make(place.palace, things)
    stored = place.snapshot().stored
    other = elsewhere(place)
    done = take(other, exported(place).path)
    assert (done.fresh, done.same, done.stored.id) == (True, True, stored.id)
    assert done.stored.snapshot == stored.snapshot
    assert differences(state_of(place.palace), state_of(other.restored())) == []
    assert other.verify().ok


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout(place: Place, family: str) -> None:
    made = FAMILIES[family](place.root / "data", Random(1))
    with place.open() as repository:
        stored = repository.snapshot(made.palace, palace="palace", check=True).stored
        repository.restore("palace", place.root / "before")
    other = elsewhere(place)
    done = take(other, exported(place).path)
    assert (done.same, done.stored.snapshot) == (True, stored.snapshot)
    after = other.restored()
    assert differences(state_of(place.root / "before"), state_of(after)) == []
    for name in made.outside:
        before = state_of(place.root / "before.outside" / name)
        assert differences(before, state_of(Path(f"{after}.outside") / name)) == []


def test_a_directory_of_many_names_is_cut_as_capture_cuts_it(place: Place) -> None:
    (place.palace / "many").mkdir()
    for at in range(5000):
        (place.palace / "many" / f"{at * 7919:x}").write_bytes(b"%d" % at * (at % 90))
    stored = place.snapshot().stored
    assert take(elsewhere(place), exported(place).path).stored.id == stored.id


def test_files_are_cut_as_capture_cuts_them(place: Place) -> None:
    """What is pooled, cut in blocks, cut by content: by size, by name, by first bytes, by holes."""
    sizes = [0, 1, 16383, 16384, 16385, 1 << 20, (1 << 20) + 1, 5_000_000]
    for name in ("a.bin", "a.db", "a-wal", "data_level0.bin"):
        for at, size in enumerate(sizes):
            (place.palace / f"{at}").mkdir(exist_ok=True)
            (place.palace / f"{at}" / name).write_bytes(Random(at).randbytes(size))
    (place.palace / "redb").write_bytes(
        b"redb\x1a\x0a\xa9\x0d\x0a" + Random(9).randbytes(3_000_000)
    )
    for name, at in (("hole.bin", 70_000), ("hole.db", 70_000), ("begin.bin", 0)):
        with (place.palace / name).open("wb") as file:
            file.write(Random(1).randbytes(at))
            file.seek(3_000_000)
            file.write(Random(2).randbytes(2_500_000))
            file.truncate(8_000_000)
    stored = place.snapshot().stored
    assert take(elsewhere(place), exported(place).path).stored.id == stored.id


def test_what_is_there_is_not_stored_again(place: Place) -> None:
    (place.palace / "a.bin").write_bytes(Random(1).randbytes(3_000_000))
    place.snapshot(tags=["mine"])
    file, before = exported(place).path, place.files("")
    done = take(place, file)
    assert (done.fresh, done.added) == (False, 0)
    assert place.files("") == before
    done = take(place, file, tags=("again",))
    assert done.stored.tags == ("again", "mine")
    done = take(place, file, palace="team/copy")
    assert (done.fresh, done.same, done.stored.palace) == (True, False, "team/copy")
    assert done.added == 0
    assert "palace" in done.why


def test_a_repository_of_another_digest(place: Place) -> None:
    (place.palace / "a.md").write_text("a note")
    place.snapshot()
    (place.palace / "a.md").write_text("another")
    place.snapshot()
    file = exported(place).path
    other = elsewhere(place, digest="sha256")
    done = take(other, file)
    assert (done.fresh, done.same, done.stored.snapshot.parents) == (True, False, ())
    assert "sha256" in done.why
    assert not take(other, file).fresh
    assert differences(state_of(place.palace), state_of(other.restored())) == []


def test_what_was_forgotten_comes_back(place: Place) -> None:
    (place.palace / "a.md").write_text("a note")
    stored = place.snapshot().stored
    file = exported(place).path
    for collected in (False, True):
        with place.open() as repository:
            repository.forget("palace", even_last=True)
            if collected:
                repository.gc()
            assert repository.log() == []
        done = take(place, file)
        assert (done.fresh, done.stored.id) == (True, stored.id)
        assert place.files("forgotten") == []
        place.check_restores()


def test_tags_come_along_but_not_that_of_a_restore(place: Place) -> None:
    (place.palace / "a.md").write_text("a note")
    place.snapshot(tags=["good", "pre-restore"])
    done = take(elsewhere(place), exported(place).path, tags=("from-home",))
    assert done.stored.tags == ("from-home", "good")


def test_a_parent_that_is_not_there_is_no_obstacle(place: Place) -> None:
    for text in ("one", "two", "three"):
        (place.palace / "a.md").write_text(text)
        place.snapshot()
    other = elsewhere(place)
    take(other, exported(place).path)
    with other.open() as repository:
        (stored,) = repository.log()
        assert len(stored.snapshot.parents) == 1
        assert repository.plan_gc() is not None
        repository.gc()
        (other.palace / "a.md").write_text("of this host")
        repository.snapshot(other.palace, palace="other")
        assert repository.verify(data=True).ok
    assert differences(state_of(place.palace), state_of(other.restored())) == []


def test_an_archive_of_other_programs_is_as_good(place: Place) -> None:
    file = Handmade().write(place.root)
    done = take(place, file)
    assert (done.fresh, done.same) == (True, False)
    out = place.restored("alpha")
    assert (out / "a.md").read_text() == "a note\n"
    assert (out / "d" / "more.bin").stat().st_ino == (out / "d" / "large.bin").stat().st_ino
    assert os.readlink(out / "link") == "/etc/passwd"
    assert not take(place, file).fresh


def test_a_redacted_one_does_not_hide_the_whole_ones(place: Place) -> None:
    made = Handmade()
    made.manifest = lambda manifest: manifest.update({"redacted": {"rules": []}})
    file = made.write(place.root)
    (place.palace / "a.md").write_text("a secret")
    place.snapshot(palace="alpha")
    with pytest.raises(Refused, match="redacted"):
        take(place, file)
    assert take(place, file, palace="alpha-redacted").redacted
    assert take(place, file, palace="alpha").redacted
    assert take(elsewhere(place), file).redacted


def test_a_second_name_that_comes_before_the_first(place: Place) -> None:
    git = place.palace / ".git"
    subprocess.run(["git", "init", "-q", place.palace], check=True)
    (git / "AAA").hardlink_to(git / "HEAD")
    (git / "zzz").hardlink_to(git / "HEAD")
    stored = place.snapshot().stored
    other = elsewhere(place)
    assert take(other, exported(place).path).stored.id == stored.id
    out = other.restored() / ".git"
    assert (out / "AAA").samefile(out / "HEAD")
    assert (out / "zzz").samefile(out / "HEAD")


def test_many_levels(place: Place) -> None:
    top = os.open(place.palace, os.O_RDONLY)
    for at in range(300):
        os.mkdir(b"d" * 200, dir_fd=top)
        below = os.open(b"d" * 200, os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
        with open(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=top), "w") as file:
            file.write(f"{at}")
    os.close(top)
    stored = place.snapshot().stored
    assert take(elsewhere(place), exported(place).path).stored.id == stored.id
    remove_tree(place.palace)


def test_while_somebody_collects(place: Place) -> None:
    """A collector that runs all the time takes nothing from an import."""
    (place.palace / "a.bin").write_bytes(Random(1).randbytes(9_000_000))
    place.snapshot()
    file, other = exported(place).path, elsewhere(place)
    done = threading.Event()

    def collect() -> None:
        while not done.is_set():
            with other.open(place.root / "its-cache") as repository:
                repository.gc()

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        for at in range(count(5, 100)):
            take(other, file, palace=f"p{at}")
            with other.open() as repository:
                assert repository.verify(data=True).ok
                repository.forget(f"p{at}", even_last=True)
    finally:
        done.set()
        thread.join()


@pytest.mark.torture
def test_a_hole_of_gigabytes_stays_one(place: Place) -> None:
    size = count(1 << 30, 5 << 30)
    with (place.palace / "vectors.bin").open("wb") as file:
        file.write(b"head" * 5000)
        file.seek(size // 2)
        file.write(b"middle" * 5000)
        file.truncate(size)
    stored = place.snapshot().stored
    other = elsewhere(place)
    done = take(other, exported(place).path)
    assert done.stored.id == stored.id
    assert done.added < 100_000
    out = other.restored() / "vectors.bin"
    assert out.stat().st_size == size
    assert out.stat().st_blocks * 512 < 1_000_000
