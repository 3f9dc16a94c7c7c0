"""docs/bundles.md describes the native format so that this reader, written from it, can read it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.bundle.archives import exported, plain
from tests.support import Place

from palatine.bundle.native.manifest import Head, Listed
from palatine.bundle.native.record import Record

PAGE = (Path(__file__).parents[2] / "docs" / "bundles.md").read_text("utf-8")
KINDS = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}


def table(after: str) -> dict[str, str]:
    """Return the fields of the first table after some words, with what is said of each."""
    text = PAGE[PAGE.index(after) :]
    found = re.search(r"\n\| field \|.*?\n\n", text + "\n", re.S)
    assert found is not None
    rows = [line.split(" | ", 1) for line in found[0].splitlines() if line.startswith("| `")]
    return {name: told for names, told in rows for name in re.findall(r"`(\w+)`", names)}


@pytest.mark.parametrize(
    ("after", "kind"),
    [("The head:", Head), ("The snapshot. ", Record), ("An entry:", Listed)],
)
def test_every_field_is_described(after: str, kind: Any) -> None:
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert set(table(after)) == fields | ({"entries"} if kind is Head else set())


def test_defaults_are_those_described() -> None:
    has_default = {name: not told.startswith("|") for name, told in table("An entry:").items()}
    for field in msgspec.structs.fields(Listed):
        assert has_default[field.name] == (not field.required), field.name


def name(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["bytes"])


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def write(palace: Path) -> None:
    top = os.fsencode(palace)
    (palace / "notes").mkdir()
    for path in (b"notes/a.md", b"big", b"\xff", b"z", b"a\\b\n"):
        with open(top + b"/" + path, "wb") as file:
            file.write(path * 9000)
    os.link(top + b"/big", top + b"/notes/big again")
    os.symlink(b"notes", top + b"/link")
    os.truncate(top + b"/z", 3 << 20)
    os.setxattr(top + b"/z", "user.key", b"value")


def test_a_reader_that_knows_the_page_only(place: Place) -> None:
    write(place.palace)
    done = place.snapshot(tags=["one"])
    lines, document, sums = [], {}, b""
    data = plain(exported(place).file)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        first, *middle, last = members
        assert (first.name, last.name) == ("manifest.json", "SHA256SUMS")
        for member in members:
            file = tar.extractfile(member) if member.isreg() else None
            content = file.read() if file else b""
            if member is first:
                document, text = json.loads(content), content
            if member is last:
                sums = content
            elif member.isreg():
                shown = raw(member.name)
                for plain_byte, written in ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r")):
                    shown = shown.replace(plain_byte, written)
                mark = b"\\" if shown != raw(member.name) else b""
                lines.append(mark + hashlib.sha256(content).hexdigest().encode() + b"  " + shown)
    assert sums.splitlines() == lines
    assert document["count"] == len(middle) == len(document["entries"])
    assert text.splitlines()[0].endswith(b'"entries":[')
    assert text.splitlines()[-1] == b"]}"
    for entry, member in zip(document["entries"], middle, strict=True):
        assert name(entry["path"]) == raw(member.name)
        linked = "link" in entry and not entry.get("own", False)
        assert member.type == (tarfile.LNKTYPE if linked else KINDS[entry["kind"]])
        assert member.mode == int(entry["mode"], 8)
        assert member.size == (0 if linked else entry.get("size", 0))
        assert raw(member.linkname) == name(entry.get("link" if linked else "target", ""))
        for key, value in entry.get("xattrs", []):
            assert raw(member.pax_headers[f"SCHILY.xattr.{key}"]) == base64.b64decode(value)
    told = document["snapshot"]
    assert (told["id"], told["tags"]) == (done.stored.id.hex(), ["one"])
    assert told["stats"]["files"] == sum(one["kind"] == "file" for one in document["entries"])
    holes = {name(one["path"]): one["holes"] for one in document["entries"] if "holes" in one}
    assert list(holes) == [b"palace/z"]


def test_the_page_names_the_version() -> None:
    assert re.search(r"\| `palatine_bundle` \| the version of this format: 1\.", PAGE)
