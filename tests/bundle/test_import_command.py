"""pal import: bundles of ours, encrypted ones, the newest of a directory, and other tools'."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from random import Random

import pytest
from tests.bundle.foreign import about
from tests.cli.conftest import Pal, make_palace
from tests.support import flip

from palatine.bundle.formats.base import PathFormat, StreamFormat
from palatine.bundle.formats.registry import by_name
from palatine.testing.families import FAMILIES


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    """`pal` in an empty home."""
    return Pal(tmp_path)


@pytest.fixture
def bundle(pal: Pal) -> Path:
    """A bundle of a palace that another repository keeps."""
    make_palace(pal.root / "alpha")
    pal("init", pal.root / "there")
    pal("snapshot", "alpha", "--repo", pal.root / "there", "-m", "hello")
    pal("export", "alpha", "alpha.tar.zst", "--repo", pal.root / "there")
    return pal.root / "alpha.tar.zst"


def test_into_the_default_repository(pal: Pal, bundle: Path) -> None:
    done = pal("import", bundle, "--tag", "from-there")
    assert "made the repository" in done.err
    assert "imported alpha" in done.err
    done = pal("import", bundle, "--json")
    assert (done.result["fresh"], done.result["same"], done.result["added_bytes"]) == (
        False,
        True,
        0,
    )
    assert "is there already" in pal("import", bundle).err
    assert pal("log", "--json").result["snapshots"][0]["tags"] == ["from-there"]
    done = pal("import", bundle, "--palace", "team/other")
    assert "is another here: it was a snapshot of alpha" in done.err
    assert pal("snapshot", "alpha").code == 0
    assert len(pal("log", "alpha", "--json").result["snapshots"]) == 1
    pal("verify", "--data")


def test_what_is_refused(pal: Pal, bundle: Path) -> None:
    pal("import", "none.tar.zst", code=2)
    pal("import", bundle, "--skip-verify", code=2)
    pal("import", bundle, "--palace", "../evil", code=2)
    pal("import", bundle, "--tag", "\n", code=2)
    pal("import", bundle, "--max-size", "1K", code=5)
    pal("import", bundle, "--max-size", "much", code=2)
    pal("import", bundle, "--format", "other", code=2)
    pal("import", bundle, "--format", "nexo", code=4)
    flip(bundle, 300)
    done = pal("import", bundle, "--json", code=4)
    assert done.error["code"] in ("damaged", "malformed")
    assert pal("palaces", "--json").result["palaces"] == []


def test_encrypted(pal: Pal, bundle: Path) -> None:
    key = pal.root / "key.txt"
    subprocess.run(["age-keygen", "-o", key], capture_output=True, check=True)
    public = subprocess.run(
        ["age-keygen", "-y", key], capture_output=True, check=True, text=True
    ).stdout.strip()
    subprocess.run(["age", "-r", public, "-o", "a.age", bundle], cwd=pal.root, check=True)
    assert pal("import", "a.age", "--json", code=2).error["code"] == "no-key"
    assert pal("import", "a.age", "--identity", key, "--json").result["same"] is True
    flip(pal.root / "a.age", 1000)
    pal("import", "a.age", "--identity", key, code=4)


def test_the_newest_of_a_directory(pal: Pal, bundle: Path) -> None:
    many = pal.root / "many"
    many.mkdir()
    for name in ("z", "a"):
        (pal.root / "alpha" / "notes" / "a.md").write_text(name)
        pal("snapshot", "alpha", "--repo", pal.root / "there")
        pal("export", "alpha", many / f"{name}.tar.zst", "--repo", pal.root / "there")
    assert pal("import", many, "--json").result["file"] == str(many / "a.tar.zst")


@pytest.mark.parametrize(
    ("family", "format"),
    [("trusty-sqlite", "trusty"), ("nexo-runtime", "nexo"), ("ai-memory", "ai-memory"),
     ("oxios", "oxios")],
)  # fmt: skip
def test_other_tools(pal: Pal, family: str, format: str) -> None:
    made = FAMILIES[family](pal.root / "data", Random(1))
    form, said = by_name(format), about(made)
    name = pal.root / form.default_name(said)
    if isinstance(form, StreamFormat):
        with name.open("wb") as file:
            form.write(made.palace, said, file)
        digest = hashlib.sha256(name.read_bytes()).hexdigest()
        name.with_name(name.name + ".sha256").write_bytes(form.sibling(name.name, digest))
    else:
        assert isinstance(form, PathFormat)
        form.write(made.palace, said, name, False)
    done = pal("import", name, "--palace", "taken", "--json")
    assert (done.result["format"], done.result["fresh"]) == (format, True)
    snapshot = pal("show", "taken", "--json").result["snapshot"]
    assert snapshot["layout"] == made.layout
    assert snapshot["host"] == ""
    pal("restore", "taken", "out")
    done = pal("verify", name, "--json", code=3 if format in ("trusty", "oxios") else 0)
    assert done.result["format"] == format
    pal("restore", name, "out2")
    assert [*(pal.home / "cache" / "palatine" / "bundles").iterdir()] == []
