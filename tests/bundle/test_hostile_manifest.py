"""Manifests and hashes that lie, with archives that fit them where they can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.bundle.handmade import Handmade
from tests.bundle.hostile import refused
from tests.support import Place

from palatine.errors import Damaged

Manifest = dict[str, Any]
NOBODY = {"uid": 0, "gid": 0, "user": "", "group": ""}

ENTRIES: list[tuple[str, Any]] = [
    ("size", 8), ("size", 0), ("size", 10**30), ("size", -1), ("size", 1.5), ("size", "7"),
    ("kind", "directory"), ("kind", "symlink"), ("kind", "device"), ("kind", None),
    ("mode", "0755"), ("mode", "644"), ("mode", "77777"), ("mode", "-644"), ("mode", 420),
    ("mtime_ns", 5), ("mtime_ns", 10**40), ("mtime_ns", -(10**40)), ("mtime_ns", "now"),
    ("target", "/etc"), ("link", "palace/none"), ("own", True),
    ("holes", [[0, 7]]), ("holes", [[0, 70]]), ("holes", [[-5, 3]]), ("holes", [[4, 1], [0, 1]]),
    ("holes", [[0, 0]]), ("holes", 7), ("holes", [[10**40, 1]]),
    ("xattrs", [["user.a", "%%"]]), ("xattrs", [["", "YQ=="]]), ("xattrs", [["a\0", "YQ=="]]),
    ("xattrs", [["b", "YQ=="], ["a", "YQ=="]]), ("xattrs", [["a", "YQ=="], ["a", "YQ=="]]),
    ("path", 5), ("path", {"bytes": "%"}), ("path", {"bytes": "cGFsYWNlL2EubWQ="}),
    ("owner", {**NOBODY, "uid": -1}), ("owner", {**NOBODY, "gid": 2**40}),
    ("owner", {**NOBODY, "user": "a\0b"}), ("owner", {**NOBODY, "uid": 10**40}),
]  # fmt: skip
HEADS: list[tuple[str, Any]] = [
    ("count", 8), ("count", 10), ("count", 0), ("count", -1), ("count", 10**40), ("count", 19e6),
    ("size", 1), ("data", 1), ("size", 10**40), ("digest", "md5"), ("palatine_bundle", 0),
    ("palatine_bundle", 2), ("palatine_bundle", "1"), ("snapshot", {}), ("snapshot", None),
    ("redacted", []), ("entries", []),
]  # fmt: skip
STATS = {"files": 5, "directories": 2, "symlinks": 1, "size": 2, "added": 0}
SNAPSHOTS: list[tuple[str, Any]] = [
    ("palace", "../evil"), ("palace", ""), ("tenant", "a/b"), ("time_us", -1), ("time_us", 10**20),
    ("time_us", 10**40), ("wall_us", -1), ("parents", ["zz"]), ("parents", ["00"]),
    ("message", "\ud800"), ("host", 5), ("tags", ["\n"]), ("tags", ["x" * 100]),
    ("outside", [{"name": "../x", "place": "/x"}]), ("outside", [{"name": "x", "place": "/x"}]),
    ("outside", [{"name": "x", "place": "/x"}] * 2), ("outside", [{"name": "", "place": "/x"}]),
    ("owner", {"uid": 1}), ("owner", {**NOBODY, "uid": 2**33}), ("stats", STATS),
    ("stats", {**STATS, "files": 10**40}), ("stats", {**STATS, "added": -1}),
    ("artifacts", [{"path": "a", "kind": "b", "captured": "x", "health": "unknown"}]),
]  # fmt: skip
FORMS: list[Callable[[bytes], bytes]] = [
    lambda data: data.replace(b"a.md", b"\xff.md"),
    lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.replace(b",\n", b", "),
    lambda data: data[:-4],
    lambda data: data + b" ",
    lambda data: data + data,
    lambda data: data.replace(b'"palatine_bundle":1,', b""),
    lambda data: json.dumps(json.loads(data)).encode(),
    lambda data: b"",
    lambda data: b"{}",
    lambda data: b"[]\n",
    lambda data: b"\0" * 100_000,
    lambda data: b'{"palatine_bundle":' + b"x" * (20 << 20),
    lambda data: data.replace(b'"palace/a.md"', b'"%s"' % (b"x" * (17 << 20))),
]
SUMS: list[Callable[[bytes], bytes]] = [
    lambda sums: sums.replace(b"a", b"b", 1),
    lambda sums: sums.replace(b"palace/a.md", b"palace/a.me"),
    lambda sums: sums[:-1],
    lambda sums: sums + b"0" * 64 + b"  more\n",
    lambda sums: sums + sums,
    lambda sums: sums[sums.index(b"\n") + 1 :],
    lambda sums: sums[: sums.index(b"\n") + 1],
    lambda sums: b"".join(sorted(sums.splitlines(keepends=True), reverse=True)),
    lambda sums: b"",
    lambda sums: b"x" * 5_000_000,
    lambda sums: b"\n" * 100_000,
]


def entry(manifest: Manifest, path: str) -> Manifest:
    """Return a manifest's entry."""
    found: Manifest = next(one for one in manifest["entries"] if one["path"] == path)
    return found


@pytest.mark.parametrize("at", range(len(ENTRIES)))
def test_an_entry_that_lies(place: Place, at: int) -> None:
    field, value = ENTRIES[at]
    made = Handmade()
    made.manifest = lambda manifest: entry(manifest, "palace/a.md").update({field: value})
    assert isinstance(refused(place, made.bundle()), Damaged)


@pytest.mark.parametrize("at", range(len(HEADS)))
def test_a_head_that_lies(place: Place, at: int) -> None:
    field, value = HEADS[at]
    made = Handmade()
    made.manifest = lambda manifest: manifest.update({field: value})
    refused(place, made.bundle())


@pytest.mark.parametrize("at", range(len(SNAPSHOTS)))
def test_a_snapshot_that_lies(place: Place, at: int) -> None:
    field, value = SNAPSHOTS[at]
    made = Handmade()
    made.manifest = lambda manifest: manifest["snapshot"].update({field: value})
    assert isinstance(refused(place, made.bundle()), Damaged)


@pytest.mark.parametrize(
    "name",
    ["/etc/evil", "../evil", "palace/../evil", "palace//evil", "palace/./evil", "palace/", "evil",
     "palace/a\0b", "palace/" + "x" * 3000, "palace/" + "a/" * 3000 + "a", "outside/x"],
    ids=lambda name: repr(name[:20]),
)  # fmt: skip
def test_a_bad_name_that_the_archive_has_too(place: Place, name: str) -> None:
    made = Handmade()
    entries = made.entries.items()
    made.entries = {name if path == "palace/a.md" else path: one for path, one in entries}
    assert isinstance(refused(place, made.bundle()), Damaged)


@pytest.mark.parametrize("at", range(len(FORMS)))
def test_another_form(place: Place, at: int) -> None:
    made = Handmade()
    made.manifest_bytes = FORMS[at]
    assert isinstance(refused(place, made.bundle()), Damaged)


@pytest.mark.parametrize("at", range(len(SUMS)))
def test_hashes_that_do_not_fit(place: Place, at: int) -> None:
    made = Handmade()
    made.sums = SUMS[at]
    assert isinstance(refused(place, made.bundle()), Damaged)


@pytest.mark.parametrize("depth", [2_000, 200_000, 4_000_000])
@pytest.mark.parametrize("where", [b'"redacted":', b'"mode":'])
def test_json_of_many_levels(place: Place, depth: int, where: bytes) -> None:
    made = Handmade()
    deep = b'"x":' + b"[" * depth + b"]" * depth + b"," + where
    made.manifest_bytes = lambda data: data.replace(where, deep)
    assert isinstance(refused(place, made.bundle(), "manifest"), Damaged)


def test_fields_that_are_not_known_are_passed_over(place: Place) -> None:
    made = Handmade()
    made.manifest_bytes = lambda data: data.replace(b'"mode":', b'"later":[{"a":1}],"mode":')
    with place.open() as repository:
        assert repository.import_bundle(made.write(place.root)).fresh
