"""Native bundles whose manifest is not the first entry: what is wrong is said, and what to do."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

import pytest
from tests.bundle import theirs_trusty
from tests.bundle.archives import exported
from tests.bundle.hostile import refused
from tests.support import Place

from palatine import api
from palatine.errors import Malformed
from palatine.ops.intake import Request
from palatine.testing.families import FAMILIES


@pytest.fixture
def unpacked(place: Place) -> Path:
    """A bundle that was unpacked by hand."""
    (place.palace / "a.md").write_text("a note")
    place.snapshot()
    out = place.root / "out"
    out.mkdir()
    tar: list[str | Path] = ["tar", "--zstd", "-xpf", exported(place).file, "-C", out]
    subprocess.run(tar, check=True)
    with place.open() as repository:
        repository.forget("palace", even_last=True)
    return out


def packed(top: Path, *names: str, how: str = "--zstd") -> bytes:
    """Have GNU tar pack what was unpacked."""
    tar: list[str | Path] = ["tar", how, "-cf", "-", "-C", top, *names]
    return subprocess.run(tar, check=True, capture_output=True).stdout


@pytest.mark.parametrize("how", ["--zstd", "--no-auto-compress"])
@pytest.mark.parametrize(
    "names",
    [
        ["palace", "SHA256SUMS"],
        ["palace", "manifest.json", "SHA256SUMS"],
        ["SHA256SUMS", "manifest.json", "palace"],
        ["--no-recursion", ".", "palace", "palace/a.md", "manifest.json"],
        ["./palace/a.md", "./manifest.json"],
    ],
    ids=" ".join,
)
def test_what_is_missing_at_the_beginning_is_named(
    place: Place, unpacked: Path, names: list[str], how: str
) -> None:
    error = refused(place, packed(unpacked, *names, how=how), "native bundle", "manifest.json")
    assert isinstance(error, Malformed)
    assert "sha256sum -c SHA256SUMS" in error.hint
    report = api.verify_bundle(place.root / "hostile.tar.zst", cache=place.cache)
    assert report.damage == (error.message,)


def test_what_the_hint_says_works(place: Place, unpacked: Path) -> None:
    """What can be saved of a bundle without its manifest is in a snapshot again."""
    file = place.root / "again"
    file.write_bytes(packed(unpacked, "palace", "SHA256SUMS"))
    out = place.root / "saved"
    out.mkdir()
    subprocess.run(["tar", "--zstd", "-xpf", file, "-C", out], check=True)
    sums = ["sha256sum", "--ignore-missing", "--quiet", "-c", "SHA256SUMS"]
    subprocess.run(sums, check=True, cwd=out)
    with place.open() as repository:
        assert repository.snapshot(out / "palace").stored.snapshot.complete


def test_a_palace_of_trusty_may_be_called_palace(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    palace = made.palace.rename(made.palace.with_name("palace"))
    (palace / "palace.json").write_text('{"id": "palace", "name": "Palace"}')
    archive = place.root / "palace-20260101.tar.gz"
    theirs_trusty.backup(palace.parent, "palace", archive)
    with place.open() as repository:
        assert repository.import_bundle(archive).format == "trusty"


@pytest.mark.parametrize("format", ["nexo", "trusty"])
def test_it_is_no_bundle_of_the_tool_that_was_named(
    place: Place, unpacked: Path, format: str
) -> None:
    file = place.root / "moved"
    file.write_bytes(packed(unpacked, "manifest.json", "palace"))
    with place.open() as repository, pytest.raises(Malformed, match="of a native bundle") as caught:
        repository.import_bundle(Request(file, format=format))
    assert "--format" in caught.value.hint
