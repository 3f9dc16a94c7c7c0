"""Databases of a palace that lie in it and outside of it: all of them as of one instant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.live.aid import add, notes, once_before, service
from tests.support import Place, count

from palatine.ops import parts
from palatine.testing.sqlite_books import check_pair, make_transfers
from palatine.testing.writers import working


@pytest.fixture
def pair(place: Place) -> tuple[Path, Path]:
    """Where mempalace has the database of a palace, and where its knowledge graph."""
    home = place.root / ".mempalace"
    place.palace = home / "palace"
    place.palace.mkdir(parents=True)
    return place.palace / "chroma.sqlite3", home / "knowledge_graph.sqlite3"


def restored_pair(place: Place, revision: str) -> tuple[Path, Path]:
    restored = place.restored(revision)
    outside = restored.with_name(f"{restored.name}.outside")
    return restored / "chroma.sqlite3", outside / "knowledge-graph" / "knowledge_graph.sqlite3"


@pytest.mark.usefixtures("pins")
@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("modes", [("wal", "wal"), ("wal", "delete"), ("delete", "wal")],
                         ids="-".join)  # fmt: skip
@pytest.mark.parametrize("role", ["transferrer", "visitor"])
@pytest.mark.parametrize("first", ["inside", "outside"])
def test_the_second_never_shows_what_the_first_lacks(
    place: Place, pair: tuple[Path, Path], modes: tuple[str, str], role: str, first: str
) -> None:
    """Each transfer is committed to one and then to the other, in the palace and outside of it."""
    order = pair if first == "inside" else pair[::-1]
    for path, mode in zip(order, modes, strict=True):
        make_transfers(path, mode, 4096)
    with working(role, "", 1, *order):
        for _ in range(count(2, 100)):
            stored = place.snapshot(force=True).stored
            assert stored.snapshot.complete, stored.snapshot.missing
            images = restored_pair(place, stored.id.hex())
            assert check_pair(*(images if first == "inside" else images[::-1])) == ""
            shutil.rmtree(images[0].parent)
            shutil.rmtree(images[1].parent.parent)


@pytest.mark.parametrize("first", ["inside", "outside"])
def test_what_falls_between_the_looks_is_in_both(
    place: Place, monkeypatch: pytest.MonkeyPatch, pair: tuple[Path, Path], first: str
) -> None:
    order = pair if first == "inside" else pair[::-1]
    with service(order[0]) as one, service(order[1]) as other:

        def transfer() -> None:
            one.run(add("transfer"))
            other.run(add("transfer"))

        once_before(monkeypatch, "index_header", 2, transfer)
        stored = place.snapshot().stored
    images = restored_pair(place, stored.id.hex())
    assert [notes(image) for image in images] == [["transfer"], ["transfer"]]


def test_an_outside_part_that_cannot_be_read_does_not_keep_the_others_from_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, pair: tuple[Path, Path]
) -> None:
    tunnels = pair[1].with_name("tunnels.json")
    tunnels.write_text("[]")
    original = parts.wanted

    def vanishing(*rest: object) -> object:
        found = original(*rest)  # type: ignore[arg-type]
        tunnels.unlink()
        return found

    monkeypatch.setattr(parts, "wanted", vanishing)
    with service(pair[0]) as one, service(pair[1]) as other:
        one.run(add("one"))
        other.run(add("two"))
        stored = place.snapshot().stored
    assert [missing.path for missing in stored.snapshot.missing] == [b"@tunnels"]
    images = restored_pair(place, stored.id.hex())
    assert [notes(image) for image in images] == [["one"], ["two"]]
