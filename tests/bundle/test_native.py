"""Native bundles, read by GNU tar, zstd and sha256sum alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from tests.bundle.archives import (
    check_sums,
    exported,
    files_below,
    listing,
    manifest,
    unpacked,
)
from tests.capture.trees import TREES, Thing, make
from tests.support import Place, count, damage_frames

from palatine.bundle.native import members
from palatine.bundle.native.manifest import ManifestReader
from palatine.errors import Damaged, Exists
from palatine.ids import Kind
from palatine.layouts import registry
from palatine.store.trees import walk
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES


@given(things=TREES)
def test_every_tree_comes_back_by_tar_alone(
    tmp_path_factory: pytest.TempPathFactory, things: list[Thing]
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    make(place.palace, things)
    place.snapshot()
    out = unpacked(exported(place).file, place.root / "out")
    assert differences(state_of(place.palace), state_of(out / "palace")) == []
    assert sorted(os.listdir(out)) == ["SHA256SUMS", "manifest.json", "palace"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout(place: Place, family: str) -> None:
    made = FAMILIES[family](place.root / "data", Random(1))
    with place.open() as repository:
        stored = repository.snapshot(made.palace, palace="palace").stored
        target = place.root / "target"
        repository.restore("palace", target)
    bundle = exported(place).file
    out = unpacked(bundle, place.root / "out")
    assert differences(state_of(target), state_of(out / "palace")) == []
    assert {one.name for one in stored.snapshot.outside} == set(made.outside)
    for name in made.outside:
        restored = state_of(place.root / "target.outside" / name)
        assert differences(restored, state_of(out / "outside" / name)) == []
    told = manifest(out)
    assert told["snapshot"]["id"] == stored.id.hex()
    assert told["snapshot"]["layout"] == made.layout
    names = listing(bundle)
    assert (names[0], names[1], names[-1]) == ("manifest.json", "palace/", "SHA256SUMS")
    assert len(names) == told["count"] + 2


def awkward(palace: Path) -> None:
    """Write what archives are known to get wrong."""
    deep = b"/".join([os.fsencode(palace), *[b"d" * 99] * 10])
    os.makedirs(deep)
    (palace / "a name\nwith\\odd\rthings").write_text("odd")
    top = os.fsencode(palace)
    for path in (top + b"/\xff\xfe", deep + b"/\xff deep", deep + b"/\xc3\xa4", top + b"/*"):
        with open(path, "wb") as file:
            file.write(path)
    os.link(deep + b"/\xff deep", top + b"/zz second name")
    (palace / "second").mkdir()
    os.link(deep + b"/\xff deep", top + b"/second/name")
    os.symlink(b"/" + b"x" * 300, top + b"/long target")
    (palace / "empty").mkdir(mode=0o500)
    (palace / "big.bin").write_bytes(Random(1).randbytes(5_000_000))
    with (palace / "sparse").open("wb") as sparse:
        sparse.truncate(40 << 20)
        sparse.seek(20 << 20)
        sparse.write(b"in the middle")
    os.setxattr(palace / "big.bin", "user.odd=%name", b"\0\xff binary")
    os.utime(palace / "big.bin", ns=(1, 1_500_000_000_123_456_789))


def test_awkward_things(place: Place) -> None:
    awkward(place.palace)
    place.snapshot()
    bundle = exported(place).file
    out = unpacked(bundle, place.root / "out")
    expected = state_of(place.palace)
    assert differences(expected, state_of(out / "palace")) == []
    assert any(len(path) > 1000 for path in expected)
    told = {str(one["path"]): one for one in manifest(out)["entries"]}
    ((start, length), (after, rest)) = told["palace/sparse"]["holes"]
    assert (start, after + rest) == (0, 40 << 20)
    assert length <= 20 << 20 < after
    assert told["palace/big.bin"]["xattrs"] == [["user.odd=%name", "AP8gYmluYXJ5"]]
    assert told["palace/big.bin"]["mtime_ns"] == 1_500_000_000_123_456_789
    (link,) = [one for one in told.values() if one["path"] == "palace/zz second name"]
    assert set(link["link"]) == {"bytes"}
    assert "own" not in link
    sums = (out / "SHA256SUMS").read_bytes()
    assert sums.count(b"\n") == len([one for one in told.values() if one["kind"] == "file"]) - 1
    assert len(files_below(out)) == sums.count(b"\n") + 3  # two second names, and itself


def test_a_link_whose_file_changed_meanwhile_has_bytes_of_its_own(place: Place) -> None:
    for name in "ab":
        (place.palace / name).write_text(name)
    (place.palace / "c").hardlink_to(place.palace / "b")
    for name in "de":  # alike, but no names of one file
        (place.palace / name).write_text("alike")
        os.utime(place.palace / name, (5, 5))
    place.snapshot()
    with place.open() as repository:
        snapshot = repository.resolve("palace").snapshot
        tree = snapshot.root.tree
        items = {item.path: item for item in walk(repository.store, tree)}

        def is_link(path: bytes, first: bytes) -> bool:
            entry = msgspec.structs.replace(items[path].entry, link=first)
            item = items[path]._replace(entry=entry)
            return members._is_hard_link(repository.store, snapshot.root, item)

        assert is_link(b"c", b"b")
        assert not is_link(b"b", b"a")  # other bytes
        assert is_link(b"e", b"d")
        assert not is_link(b"d", b"e")  # comes later, and tar links to what is there
        assert not is_link(b"b", b"c")
        assert not is_link(b"c", b"no such name")


def test_the_same_bytes_whatever_the_number_of_threads(place: Place) -> None:
    awkward(place.palace)
    for number in range(3000):
        (place.palace / f"{number}.md").write_text(f"note {number}\n" * (number % 50))
    place.snapshot()
    done = [exported(place, f"{n}.tar.zst", threads) for n, threads in enumerate((1, 2, 5, 2))]
    assert len({one.sha256 for one in done}) == 1
    assert len({one.file.read_bytes() for one in done}) == 1


def test_the_manifest_lists_the_archive(place: Place) -> None:
    awkward(place.palace)
    place.snapshot()
    out = unpacked(exported(place).file, place.root / "out")
    with (out / "manifest.json").open("rb") as file:
        reader = ManifestReader(file)
        entries = list(reader.entries())
    head = reader.head
    files = [one for one in entries if one.kind == "file" and not one.is_hard_link]
    on_disk = {path for path in files_below(out) if b"/" in path}
    assert {one.raw_path for one in entries if one.kind == "file"} == on_disk
    assert (head.count, head.size) == (len(entries), sum(one.size for one in files))
    assert head.size - head.data == sum(size for one in files for _, size in one.holes)
    for one in entries:
        found = os.lstat(os.path.join(os.fsencode(out), one.raw_path))
        entry = one.entry()
        assert (entry.mode, entry.mtime_ns) == (found.st_mode & 0o7777, found.st_mtime_ns)


def test_an_incomplete_snapshot_is_said_to_be_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    layout, log = registry.match(made.palace), *made.outside.values()
    parts = layout.outside(made.palace)
    monkeypatch.setattr(type(layout), "outside", lambda self, path: parts)
    log.unlink()
    with place.open() as repository:
        repository.snapshot(made.palace, palace="palace")
    result = exported(place)
    assert result.notices
    assert set(result.notices) <= set(place.notices.said)
    told = manifest(unpacked(result.file, place.root / "out"))
    assert [one["path"] for one in told["snapshot"]["missing"]] == ["@agent-log"]


def test_damage_in_the_repository_leaves_no_file(place: Place) -> None:
    (place.palace / "big.bin").write_bytes(Random(1).randbytes(3_000_000))
    place.snapshot()
    assert damage_frames(place, Kind.CHUNK)
    with pytest.raises(Damaged):
        exported(place, "new/out.tar.zst")
    assert os.listdir(place.root / "new") == []


def test_what_is_there_stays(place: Place) -> None:
    (place.palace / "a").write_text("a")
    place.snapshot()
    first = exported(place)
    before = first.file.read_bytes()
    (place.palace / "a").write_text("b")
    place.snapshot()
    with pytest.raises(Exists):
        exported(place)
    assert first.file.read_bytes() == before
    second = exported(place, force=True)
    assert second.sha256 != first.sha256
    check_sums(place.root, "out.tar.zst.sha256")


_PROGRAM = """
import re, sys
from pathlib import Path
import palatine
repository, cache, target = sys.argv[1:]
with palatine.open_repository(repository, cache=cache) as opened:
    opened.export("palace", target)
print(int(re.search(r"VmHWM:\\s*([0-9]+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
# not ru_maxrss, which begins with the peak of whoever started the process


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_memory_is_bounded(place: Place) -> None:
    directory = place.palace / "many"
    directory.mkdir()
    for number in range(count(8_000, 400_000)):
        (directory / f"name-{number:07d}.md").write_bytes(b"%d" % number)
    with (place.palace / "big.bin").open("wb") as big:
        random = Random(1)
        for _ in range(count(60, 2_000)):
            big.write(random.randbytes(1 << 20))
        big.truncate(count(1, 5) << 30)
    place.snapshot()
    target = place.root / "out.tar.zst"
    arguments = [place.repository, place.cache, target]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # the names of one directory take some 15 MB of it, what glibc keeps of freed buffers up to 60
    assert int(done.stdout) < count(150, 200)
    assert plain_size(target) > count(1, 5) << 30


def plain_size(bundle: Path) -> int:
    """Return the size of what zstd makes of a file, without holding it."""
    with subprocess.Popen(["zstd", "-dc", bundle], stdout=subprocess.PIPE) as zstd:
        size, stdout = 0, zstd.stdout
        while stdout is not None and (data := stdout.read(1 << 20)):
            size += len(data)
        return size
