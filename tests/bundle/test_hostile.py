"""Archives that are not what their manifest says: refused, and nothing of them becomes visible."""

from __future__ import annotations

import tarfile

import pytest
from tests.bundle.handmade import Handmade, Made, Members, index
from tests.bundle.hostile import refused, zstd
from tests.support import Place

from palatine import api
from palatine.bundle.limits import Limits
from palatine.errors import Damaged, Refused
from palatine.ops.intake import Request


@pytest.fixture
def made() -> Handmade:
    return Handmade()


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("/etc/cron.d/evil", "absolute"),
        ("../evil", "leads out"),
        ("palace/../../evil", "leads out"),
        ("palace/" + "x" * 2000, "over 1020"),
        ("palace/" + "a/" * 1500 + "a", "levels"),
        ("palace/" + "x" * 300_000, "300007 bytes"),
        ("palace/b.md", "belongs"),
        ("palace/none", "belongs"),
        ("palace/link/evil", "belongs"),
    ],
    ids=lambda one: str(one)[:24],
)
def test_another_name_than_the_manifest_s(
    place: Place, made: Handmade, name: str, word: str
) -> None:
    def change(members: Members) -> None:
        members[index(members, "palace/a.md")][0].name = name

    made.archive = change
    assert isinstance(refused(place, made.bundle(), word), Damaged)


def test_a_name_with_a_nul(place: Place, made: Handmade) -> None:
    def change(members: Members) -> None:
        info = members[index(members, "palace/a.md")][0]
        info.pax_headers = {**info.pax_headers, "path": "palace/a.md\0.exe"}

    made.archive = change
    refused(place, made.bundle(), "NUL")


@pytest.mark.parametrize(
    "link",
    ["/etc/passwd", "../../etc/passwd", "palace/link", "palace/d", "palace/e", "manifest.json",
     "palace/d/more.bin", "palace/sparse"],
)  # fmt: skip
def test_a_hard_link_to_what_is_no_earlier_file(place: Place, made: Handmade, link: str) -> None:
    made.entries["palace/d/more.bin"].link = link
    assert isinstance(refused(place, made.bundle()), Damaged)


def test_a_hard_link_that_the_manifest_says_leads_elsewhere(place: Place, made: Handmade) -> None:
    def change(members: Members) -> None:
        members[index(members, "palace/d/more.bin")][0].linkname = "/etc/passwd"

    made.archive = change
    refused(place, made.bundle(), "absolute")


def test_a_hard_link_to_a_file_of_another_size(place: Place, made: Handmade) -> None:
    made.entries["palace/d/more.bin"].link = "palace/a.md"
    refused(place, made.bundle(), "no file like it")


@pytest.mark.parametrize("kind", [*"346SZMDV"])
def test_devices_and_pipes(place: Place, made: Handmade, kind: str) -> None:
    def change(members: Members) -> None:
        members[index(members, "palace/none")][0].type = kind.encode()

    made.archive = change
    assert isinstance(refused(place, made.bundle(), "none", "no bundle holds"), Damaged)


@pytest.mark.parametrize("kind", [*"125"])
def test_another_kind_than_the_manifest_s(place: Place, made: Handmade, kind: str) -> None:
    def change(members: Members) -> None:
        info = members[index(members, "palace/none")][0]
        info.type, info.linkname = kind.encode(), "palace/a.md"

    made.archive = change
    refused(place, made.bundle(), "palace/none", "kind")


def test_another_mode_time_or_target_than_the_manifest_s(place: Place, made: Handmade) -> None:
    for name, field, value in (
        ("a.md", "mode", 0o4755), ("a.md", "pax_headers", {"mtime": "7"}),
        ("link", "linkname", "/etc/shadow"),
    ):  # fmt: skip

        def change(
            members: Members, name: str = name, field: str = field, value: object = value
        ) -> None:
            setattr(members[index(members, f"palace/{name}")][0], field, value)

        made.archive = change
        refused(place, made.bundle(), name, "manifest says")


@pytest.mark.parametrize(
    ("one", "other"),
    [("A.md", "a.md"), ("\u00c4", "\u00e4"), ("e\u0301", "\u00e9"), ("STRASSE", "stra\u00dfe")],
)
def test_names_that_some_systems_cannot_tell(place: Place, one: str, other: str) -> None:
    first, last = sorted([f"palace/{one}", f"palace/{other}"], key=str.encode)
    made = Handmade({"palace": Made(), first: Made(b"1"), last: Made(b"2")})
    error = refused(place, made.bundle(), "case")
    assert isinstance(error, Refused)
    assert "--allow-case-folding" in error.hint
    file = place.root / "hostile.tar.zst"
    with place.open() as repository:
        done = repository.import_bundle(Request(file, limits=Limits(allow_case_folding=True)))
    assert done.stored.snapshot.stats.files == 2


def test_equal_names_in_different_directories_are_none_of_these(place: Place) -> None:
    made = Handmade({"palace": Made(), "palace/A": Made(), "palace/A/x": Made(b"1"),
                     "palace/X": Made(b"2"), "palace/b": Made(), "palace/b/a": Made(b"3"),
                     "palace/b/x": Made(b"4")})  # fmt: skip
    with place.open() as repository:
        assert repository.import_bundle(made.write(place.root)).fresh


def test_what_is_unlisted_twice_or_missing(place: Place) -> None:
    extra = tarfile.TarInfo("palace/a.mz")
    for at in (0, 1, 3, 10, 11):
        made = Handmade()
        made.archive = lambda members, at=at: members.insert(at, (extra, b""))  # type: ignore[misc]
        assert isinstance(refused(place, made.bundle(), *["a.mz"][:at]), Damaged)
    for at in range(11):
        made = Handmade()
        made.archive = lambda members, at=at: members.pop(at) and None  # type: ignore[misc]
        assert isinstance(refused(place, made.bundle()), Damaged)
        made.archive = lambda members, at=at: members.insert(at, members[at])  # type: ignore[misc]
        assert isinstance(refused(place, made.bundle()), Damaged)


def test_a_hole_that_holds_something(place: Place, made: Handmade) -> None:
    def fill(members: Members) -> None:
        at = index(members, "palace/sparse")
        data = bytearray(members[at][1])
        data[50_000] = 1
        members[at] = (members[at][0], bytes(data))

    made.archive = fill
    refused(place, made.bundle(), "hole")


def test_contents_that_do_not_have_their_hashes(place: Place, made: Handmade) -> None:
    def other(members: Members) -> None:
        at = index(members, "palace/a.md")
        members[at] = (members[at][0], b"a nota\n")

    made.archive = other
    refused(place, made.bundle(), "a.md", "hash")


def test_what_follows_the_end(place: Place, made: Handmade) -> None:
    tar, whole = made.tar(), made.bundle()
    for garbage in (b"x", b"\0" * 511 + b"x", tar, b"x" * 3_000_000, bytes(5_000_000)):
        refused(place, zstd(tar + garbage), "end")
    for garbage in (b"x", b"\0", b"\x50\x2a\x4d\x18\x04\0\0\0abcd", zstd(b"x"), zstd(tar)):
        refused(place, whole + garbage, "end")
    file = place.root / "padded.tar.zst"
    file.write_bytes(zstd(tar + bytes(-len(tar) % 10240)))  # a record that tar filled up
    with place.open() as repository:
        assert repository.import_bundle(file).fresh


def test_truncation(place: Place, made: Handmade) -> None:
    whole, tar = made.bundle(), made.tar()
    file = place.root / "cut.tar.zst"
    cuts = [whole[:size] for size in range(len(whole))]
    cuts += [zstd(tar[:size]) for size in range(0, len(tar) - 1, 1024)]
    cuts += [zstd(tar[:size]) for size in range(len(tar) - 520, len(tar))]
    for data in cuts:
        file.write_bytes(data)
        report = api.verify_bundle(file, cache=place.cache)
        assert report.damage, len(data)
    for data in cuts[::50]:
        assert isinstance(refused(place, data), Damaged)


def test_an_empty_palace_is_no_error(place: Place) -> None:
    with place.open() as repository:
        assert repository.import_bundle(Handmade({"palace": Made()}).write(place.root)).fresh
