"""Hostile archives in the place of other tools': refused, and nothing written outside, also where
their digests are not looked at.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from tests.bundle import theirs_nexo
from tests.bundle.handmade import Members, tar_of
from tests.bundle.hostile import refused, zstd
from tests.support import Place

from palatine.bundle import limits as limits_module
from palatine.bundle.limits import Limits
from palatine.errors import Damaged, Refused
from palatine.ops.intake import Request

TOOLS = ("trusty", "nexo")
SAID = {
    "trusty_memory_version": "0.1.45", "palace_id": "alpha", "palace_name": "Alpha",
    "backed_up_at": "2026-05-09T00:00:00.123456789+00:00", "drawer_count": 0, "schema_version": 1,
}  # fmt: skip


class Archive:
    """An archive of a tool, with what is to be added to it."""

    def __init__(self, tool: str, place: Place) -> None:
        self.tool = tool
        self.top = "alpha" if tool == "trusty" else "memory_files"
        self.members: Members = []
        self.file("a.md", Random(1).randbytes(30_000))
        if tool == "trusty":
            self._manifest = json.dumps(SAID).encode()
        else:
            (place.root / "theirs").mkdir(exist_ok=True)
            entry = (f"{self.top}/a.md", "memory_file", self.members[0][1])
            whole = theirs_nexo.bundle([entry], place.root / "theirs")
            command: list[str | Path] = ["tar", "--zstd", "-xOf", whole, "manifest.json"]
            self._manifest = subprocess.run(command, capture_output=True, check=True).stdout

    def file(self, name: str, data: bytes = b"") -> None:
        """Add a file of the palace."""
        self.entry(f"{self.top}/{name}", data=data)

    def entry(self, name: str, kind: bytes = b"0", link: str = "", data: bytes = b"") -> None:
        """Add an entry, whatever it is."""
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size, info.mode = kind, link, len(data), 0o644
        self.members.append((info, data))

    def below_door(self, name: str) -> None:
        """Add a symlink that leads out, and a file."""
        self.entry(f"{self.top}/door", b"2", "/etc/evil")
        self.file(name, b"x")

    def made(self, after: bytes = b"") -> bytes:
        """Return the file; `after` stands behind the tar's end."""
        info = tarfile.TarInfo("manifest.json")
        info.size = len(self._manifest)
        return self.packed(tar_of([(info, self._manifest), *self.members]) + after)

    def packed(self, tar: bytes) -> bytes:
        return gzip.compress(tar, 9, mtime=0) if self.tool == "trusty" else zstd(tar)


@pytest.fixture(params=TOOLS)
def archive(request: pytest.FixtureRequest, place: Place) -> Archive:
    return Archive(request.param, place)


def test_one_that_is_not_hostile_is_taken(place: Place, archive: Archive) -> None:
    (place.root / "good").write_bytes(archive.made())
    with place.open() as repository:
        done = repository.import_bundle(place.root / "good")
    assert done.format == archive.tool
    assert done.stored.snapshot.stats.files == 1


Add = Callable[[Archive], None]
HOSTILE: dict[str, tuple[Add, str]] = {
    "absolute": (lambda one: one.entry("/etc/cron.d/evil"), "absolute"),
    "above": (lambda one: one.entry(f"{one.top}/../../evil"), "leads out"),
    "above it all": (lambda one: one.entry("../evil"), "leads out"),
    "a file below a symlink": (lambda one: one.below_door("door/evil"), ""),
    "a file for a symlink": (lambda one: one.below_door("door"), ""),
    "a hard link out": (lambda one: one.entry(f"{one.top}/l", b"1", "/etc/passwd"), "absolute"),
    "a hard link above": (lambda one: one.entry(f"{one.top}/l", b"1", "../../x"), "leads out"),
    "a hard link to nothing": (lambda one: one.entry(f"{one.top}/l", b"1", "gone"), "no file"),
    "a character device": (lambda one: one.entry(f"{one.top}/null", b"3"), "character device"),
    "a block device": (lambda one: one.entry(f"{one.top}/disk", b"4"), "block device"),
    "a pipe": (lambda one: one.entry(f"{one.top}/pipe", b"6"), "pipe"),
    "twice": (lambda one: one.file("a.md"), "twice"),
    "twice with a dot": (lambda one: one.entry(f"./{one.top}/./a.md"), "twice"),
    "below a file": (lambda one: one.file("a.md/b"), "no directory"),
    "a long name": (lambda one: one.file("x" * 2000), "over 1020"),
    "many levels": (lambda one: one.file("a/" * 1500 + "a"), "levels"),
}  # fmt: skip


@pytest.mark.parametrize("skip_verify", [False, True])
@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_archive_may_hold(
    place: Place, archive: Archive, what: str, skip_verify: bool
) -> None:
    add, word = HOSTILE[what]
    add(archive)
    error = refused(place, archive.made(), word, skip_verify=skip_verify)
    assert isinstance(error, Damaged)
    assert not Path("/etc/cron.d/evil").exists()
    assert not Path("/etc/evil").exists()


def test_a_name_with_a_nul(place: Place, archive: Archive) -> None:
    archive.file("b")
    archive.members[-1][0].pax_headers = {"path": f"{archive.top}/b\0.exe"}
    refused(place, archive.made(), "NUL", skip_verify=True)


def test_names_that_some_systems_cannot_tell(place: Place, archive: Archive) -> None:
    archive.file("A.md")
    error = refused(place, archive.made(), "case", skip_verify=True)
    assert isinstance(error, Refused)
    limits = Limits(allow_case_folding=True)
    request = Request(place.root / "hostile.tar.zst", limits=limits, skip_verify=True)
    with place.open() as repository:
        assert repository.import_bundle(request).stored.snapshot.stats.files == 2


def test_cut_at_every_kilobyte(place: Place, archive: Archive) -> None:
    whole = archive.made()
    tar = gzip.decompress(whole) if archive.tool == "trusty" else plain(whole)
    cuts = [whole[:size] for size in [*range(1024, len(whole), 1024), len(whole) - 1]]
    cuts += [archive.packed(tar[:size]) for size in range(1024, len(tar) - 1, 1024)]
    assert len(cuts) > 60
    file = place.root / "cut"
    for data in cuts:
        file.write_bytes(data)
        with place.open() as repository, pytest.raises(Damaged):
            repository.import_bundle(file)
    assert place.files("snapshots") == []


def test_garbage_after_the_end(place: Place, archive: Archive) -> None:
    whole = archive.made()
    for garbage in (b"x", b"x" * 5000, whole):
        refused(place, whole + garbage, "end" if garbage == whole else "")
        refused(place, archive.made(garbage), "end")


def test_a_bomb(place: Place, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "GRACE", 4 << 20)
    archive.file("bomb", bytes(40 << 20))
    data = archive.made()
    error = refused(place, data, "times its size", skip_verify=True)
    assert isinstance(error, Refused)
    assert "--max-ratio" in error.hint
    limits = Limits(max_size=39 << 20, max_ratio=1e9)
    error = refused(place, data, "more than", limits=limits, skip_verify=True)
    assert "--max-size" in error.hint
    request = Request(
        place.root / "hostile.tar.zst", limits=Limits(max_ratio=1e9), skip_verify=True
    )
    with place.open() as repository:
        assert repository.import_bundle(request).stored.snapshot.stats.size > 40 << 20


def test_more_entries_than_there_may_be(place: Place, archive: Archive) -> None:
    for at in range(20):
        archive.file(f"more-{at}")
    error = refused(place, archive.made(), "more than 10 entries", limits=Limits(max_entries=10))
    assert isinstance(error, Refused)


def test_a_window_that_is_too_large(place: Place) -> None:
    tar = plain(Archive("nexo", place).made())
    command = ["zstd", "-19", "--ultra", "--long=28", "-c"]
    with (place.root / "tar").open("w+b") as file:
        file.write(tar)
        file.seek(0)
        out = subprocess.run(command, stdin=file, capture_output=True, check=True).stdout
    (place.root / "tar").unlink()
    error = refused(place, out, "of memory", skip_verify=True)
    assert isinstance(error, Refused)


def plain(data: bytes) -> bytes:
    """Return what zstd makes of a file."""
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


def test_headers_whose_checksums_do_not_fit(place: Place, archive: Archive) -> None:
    whole = archive.made()
    tar = bytearray(gzip.decompress(whole) if archive.tool == "trusty" else plain(whole))
    with tarfile.open(fileobj=io.BytesIO(bytes(tar))) as file:
        at = file.getmember(f"{archive.top}/a.md").offset
    tar[at + 100] ^= 1
    refused(place, archive.packed(bytes(tar)), skip_verify=True)
