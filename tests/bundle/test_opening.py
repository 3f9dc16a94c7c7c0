"""Opening files: what they are says their content; what is cut, changed or added to is damage."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
from pathlib import Path
from random import Random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from palatine.bundle.age.keys import keys_of
from palatine.bundle.limits import Limits
from palatine.bundle.opening import Container, opened
from palatine.errors import Damaged, Malformed, NoKey, PalatineError, PathNotFound, SourceError

TEXT = Random(1).randbytes(300_000) + b"again and again " * 30_000


def read(path: Path, identities: list[str] | None = None) -> tuple[Container, bytes]:
    """Return what a file is, and its content; all of it must be right."""
    with opened(path, Limits(), keys_of(identities) if identities else None) as file:
        data = b"".join(iter(lambda: file.stream.read(100_000), b""))
        file.finish()
        return file.container, data


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def by(*command: str, data: bytes = TEXT) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "command",
    ["zstd -c", "zstd -19 -c", "zstd -1 -T2 -B1MiB -c", "zstd --no-check -c", "zstd --long=27 -c",
     "zstd --no-content-size -c", "gzip -c"],
)  # fmt: skip
def test_what_the_world_compresses(tmp_path: Path, command: str) -> None:
    data = by(*command.split())
    container, found = read(written(tmp_path / "misleading.db", data))
    assert container == (Container.GZIP if "gzip" in command else Container.ZSTD)
    assert found == TEXT
    assert read(written(tmp_path / "twice", data + data))[1] == TEXT + TEXT


def test_what_is_not_compressed(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a", b"")) == (Container.OTHER, b"")
    assert read(written(tmp_path / "b", TEXT)) == (Container.OTHER, TEXT)
    database = b"SQLite format 3\0" + TEXT
    assert read(written(tmp_path / "c", database)) == (Container.DATABASE, database)
    (tmp_path / "d").mkdir()
    tar = by("tar", "-cf", "-", "-C", str(tmp_path), "d")
    assert read(written(tmp_path / "e", tar)) == (Container.TAR, tar)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in (
        (tmp_path / "none", PathNotFound), (tmp_path / "pipe", SourceError),
        (tmp_path, SourceError), (tmp_path / "none" / "x", PathNotFound),
    ):  # fmt: skip
        with pytest.raises(kind):
            read(path)


def test_the_sum_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar.zst", by("zstd", "-c"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    beside = tmp_path / "a.tar.zst.sha256"
    for text in (
        f"{digest}  a.tar.zst\n",
        f"{digest.upper()} *other\n",
        digest,
        f"\\{digest}  a\\\\b\n",
    ):
        beside.write_text(text)
        assert read(path)[1] == TEXT
    for text in (f"{'0' * 64}  a.tar.zst\n", "", "nonsense", digest[:63], digest + "0"):
        beside.write_text(text)
        with pytest.raises(Damaged, match="sha256"):
            read(path)


@pytest.mark.parametrize("tool", ["zstd", "gzip"])
def test_cut_short_or_with_something_after_it(tmp_path: Path, tool: str) -> None:
    whole = by(tool, "-c", data=TEXT[:3000] + TEXT[-20_000:])
    for size in range(2 if tool == "gzip" else 4, len(whole)):
        with pytest.raises(Damaged):
            read(written(tmp_path / "cut", whole[:size]))
    for more in (b"x", b"\0" * 20, whole[:-1], whole[:3]):
        with pytest.raises(Damaged):
            read(written(tmp_path / "more", whole + more))


@given(data=st.data())
@pytest.mark.parametrize("tool", ["zstd", "gzip"])
def test_a_changed_byte(
    tmp_path_factory: pytest.TempPathFactory, tool: str, data: st.DataObject
) -> None:
    whole = by(tool, "-c", data=TEXT[:3000] + TEXT[-5000:])
    at = data.draw(st.integers(4, len(whole) - 1))
    byte = data.draw(st.integers(1, 255))
    changed = whole[:at] + bytes([whole[at] ^ byte]) + whole[at + 1 :]
    path = written(tmp_path_factory.mktemp("changed") / "a", changed)
    try:
        found = read(path)[1]
    except PalatineError:
        return
    assert found == TEXT[:3000] + TEXT[-5000:]  # gzip's header holds a time that nobody checks


@given(noise=st.binary(max_size=300))
def test_noise_that_says_it_is_compressed(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    for magic in (b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"age-encryption.org/v1\n"):
        path = written(tmp_path_factory.mktemp("noise") / "a", magic + noise)
        try:
            _, found = read(path)
        except PalatineError:
            continue
        assert found == zstandard.decompress(magic + noise) or gzip.decompress(magic + noise)


def test_encrypted(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", key], capture_output=True, check=True)
    public = by("age-keygen", "-y", str(key), data=b"").decode().strip()
    whole = by("age", "-r", public, data=by("zstd", "-c"))
    path = written(tmp_path / "a.age", whole)
    assert read(path, identities=[str(key)]) == (Container.ZSTD, TEXT)
    with pytest.raises(NoKey):
        read(path)
    other = tmp_path / "other.txt"
    subprocess.run(["age-keygen", "-o", other], capture_output=True, check=True)
    with pytest.raises(NoKey):
        read(path, identities=[str(other)])
    for changed in (whole[:-1], whole[:-70_000], whole + b"x", whole[:70_000] + whole[70_001:]):
        with pytest.raises(Damaged):
            read(written(tmp_path / "b.age", changed), identities=[str(key)])
    inner = by("age", "-r", public, data=by("zstd", "-c") + b"trailing")
    with pytest.raises(Malformed):
        read(written(tmp_path / "c.age", inner), identities=[str(key)])
