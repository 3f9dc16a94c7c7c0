"""A layout of another package, through an entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.support import Place

import palatine
from palatine import api
from palatine.layouts import registry
from palatine.testing.builders import Notices
from palatine.testing.families import FAMILIES

CODE = """
from palatine.layouts.base import Layout, OutsidePart

class Cellar(Layout):
    name = "cellar"

    def recognise(self, path):
        return (path / "cellar.toml").is_file()

    def palace_name(self, path):
        return "wine"

    def outside(self, path):
        return [OutsidePart("corks", path.parent / "corks")]

    def artifact_kind(self, path):
        return "corks" if path.startswith(b"@corks/") else None

    def counts(self, image):
        return {"bottles": len(image.read(b"bottles").split())}

broken = 1
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution with a layout that works, one that cannot be loaded, and one that is none."""
    site = tmp_path / "site"
    info = site / "cellar-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "cellar_layout.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cellar\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[palatine.layouts]\ncellar = cellar_layout:Cellar\n"
        "gone = no_such_module:Layout\nnone = cellar_layout:broken\n"
    )
    monkeypatch.syspath_prepend(site)
    registry.forget()
    yield site
    registry.forget()
    sys.modules.pop("cellar_layout", None)


def cellar(root: Path) -> Path:
    palace = root / "data" / "one"
    palace.mkdir(parents=True)
    (palace / "cellar.toml").touch()
    (palace / "bottles").write_text("red white red")
    (palace.parent / "corks").mkdir()
    (palace.parent / "corks" / "box").write_text("corks")
    return palace


@pytest.mark.usefixtures("installed")
def test_it_is_a_layout_like_any_other(place: Place) -> None:
    palace = cellar(place.root)
    with place.open() as repository:
        snapshot = repository.snapshot(palace).stored.snapshot
        assert (snapshot.palace, snapshot.layout) == ("wine", "cellar")
        assert repository.counts("wine") == {"bottles": 3}
        assert b"".join(repository.cat("wine:@corks/box")) == b"corks"
        repository.restore("wine", place.root / "back")
    assert (place.root / "back.outside" / "corks" / "box").read_text() == "corks"


@pytest.mark.usefixtures("installed")
def test_a_search_finds_it(tmp_path: Path) -> None:
    palace = cellar(tmp_path)
    found = {one.source: one.layout for one in api.discover(tmp_path / "data")}
    assert found[palace] == "cellar"


@pytest.mark.usefixtures("installed")
def test_those_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    notices = Notices()
    assert registry.by_name("cellar", notices).name == "cellar"
    assert len(notices.said) == 2
    assert "no_such_module" in notices.said[0]
    assert "cellar_layout:broken is no layout" in notices.said[1]


@pytest.mark.usefixtures("installed")
def test_known_palaces_do_not_pay_for_it(tmp_path: Path) -> None:
    made = FAMILIES["trusty-redb"](tmp_path, Random(1))
    assert registry.match(made.palace).name == "trusty"
    assert "cellar_layout" not in sys.modules


def test_without_it_its_snapshots_are_generic(place: Place, installed: Path) -> None:
    palace = cellar(place.root)
    with place.open() as repository:
        repository.snapshot(palace, palace="wine")
    (installed / "cellar-1.0.dist-info" / "entry_points.txt").unlink()
    registry.forget()
    with place.open() as repository:
        assert repository.counts("wine") == {}
        assert repository.resolve("wine").snapshot.layout == "cellar"


def test_an_unknown_name() -> None:
    with pytest.raises(palatine.errors.UsageError, match="no layout 'x'"):
        registry.by_name("x")
