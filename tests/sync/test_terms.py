"""What a served repository gives, and to whom: append-only, and some palaces only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.cli.conftest import Pal
from tests.sync.aid import change, contents, copy, opened, served
from tests.sync.conftest import Sshd
from tests.sync.test_commands import ids

import palatine
from palatine.errors import PalatineError, Refused
from palatine.ids import Kind
from palatine.ops.undelete import needed
from palatine.store.reach import Reference
from palatine.sync.roles import Order
from palatine.sync.serving import Terms
from palatine.sync.supply import LocalSupplier


@pytest.fixture
def there(tmp_path: Path) -> Iterator[palatine.Repository]:
    """A repository with two palaces, of which one is secret."""
    with opened(tmp_path / "there") as repository:
        for name, seed in (("open", 1), ("secret", 2)):
            for at in range(3):
                change(tmp_path / name, Random(seed * 10 + at))
                repository.snapshot(tmp_path / name, force=True)
        yield repository


def objects_of(repository: palatine.Repository, palace: str) -> list[Reference]:
    """Return what the snapshots of a palace need."""
    roots = [one.snapshot.root.tree for one in repository.log(palace)]
    return [*{one.id: one for one in needed(repository.store, roots)}.values()]


def test_append_only_takes_and_gives_nothing(tmp_path: Path, there: palatine.Repository) -> None:
    with opened(tmp_path / "here") as here:
        change(tmp_path / "new", Random(5))
        stored = here.snapshot(tmp_path / "new").stored
        with served(there, Terms(append_only=True)) as (supplier, receiver):
            assert copy(LocalSupplier(here.store), receiver).done == (stored.id,)
            known = there.log("open")[0]
            for ask in (
                lambda: supplier.offers(),
                lambda: [*supplier.files([known.id[:16]])],
                lambda: supplier.describe([Reference(Kind.TREE, known.snapshot.root.tree)], False),
                lambda: [*supplier.objects([Order(Kind.TREE, known.snapshot.root.tree, True)])],
            ):
                with pytest.raises(Refused, match="gives none"):
                    ask()
        assert contents(there.store, {stored.id}) == contents(here.store)


def test_other_palaces_are_not_there(tmp_path: Path, there: palatine.Repository) -> None:
    open_ids = {one.id for one in there.log("open")}
    secret = objects_of(there, "secret")
    shared = {one.id for one in objects_of(there, "open")}
    secret = [one for one in secret if one.id not in shared]
    assert len(secret) > 5
    with served(there, Terms(palaces=frozenset({"open"}))) as (supplier, _):
        assert {one.short for one in supplier.offers()} == {one[:16] for one in open_ids}
        assert [*supplier.files([one.id[:16] for one in there.log("secret")])] == []
        assert {one.size for one in supplier.describe(secret, True)} == {-1}
        for full in (False, True):
            given = supplier.objects([Order(one.kind, one.id, full) for one in secret])
            assert [one for one in given if one.payload] == []


def test_who_knows_an_id_cannot_have_its_bytes(tmp_path: Path, there: palatine.Repository) -> None:
    """A snapshot that names another palace's objects: its sender must have their bytes."""
    with opened(tmp_path / "here") as here:
        shutil.copytree(tmp_path / "secret", tmp_path / "open2")
        stored = here.snapshot(tmp_path / "open2", palace="open").stored
        supplier = LocalSupplier(here.store)
        wanted = {one.id for one in objects_of(here, "open")}
        asked: set[bytes] = set()

        class Knowing(LocalSupplier):
            """Has trees only, and of everything else the ids."""

            def describe(self, wanted, deep):  # type: ignore[no-untyped-def]
                asked.update(one.id for one in wanted)
                told = supplier.describe(wanted, deep)
                return [one if one.kind == Kind.TREE else one._replace(size=-1) for one in told]

        with served(there, Terms(palaces=frozenset({"open"}))) as (_, receiver):
            result = copy(Knowing(here.store), receiver)
            assert (result.done, [one for one, _ in result.failed]) == ((), [stored.id])
            assert {one.kind for one in objects_of(here, "open") if one.id in asked} >= {Kind.CHUNK}
            # with the bytes it is taken, and everything was asked for although it is there
            assert copy(supplier, receiver).done == (stored.id,)
        assert wanted & {one.id for one in objects_of(there, "secret")}
        assert contents(there.store, {stored.id}) == contents(here.store)


def test_snapshots_of_other_palaces_are_not_taken(
    tmp_path: Path, there: palatine.Repository
) -> None:
    with opened(tmp_path / "here") as here:
        change(tmp_path / "third", Random(6))
        here.snapshot(tmp_path / "third")
        supplier = LocalSupplier(here.store)
        with served(there, Terms(palaces=frozenset({"open"}))) as (_, receiver):
            assert receiver.lacks(supplier.offers(), False).closed == (0,)
            with pytest.raises(PalatineError, match="not taken"):
                receiver.receive(supplier.files([one.short for one in supplier.offers()]), supplier)
    assert "third" not in {one.palace for one in there.log()}


def test_a_forced_command(near: Pal, sshd: Sshd) -> None:
    """What docs/sync.md shows: a key that may only push, whatever its owner asks for."""
    far = sshd.pal()
    far("init", "home/kept")
    sshd.force(f"pal serve --stdio --append-only --palace alpha --repo {sshd.root}/home/kept")
    near("push")
    assert ids(far, "--repo", "home/kept") == ids(near)
    assert "append-only" in near("pull", code=5).err
    assert "append-only" in near("clone", sshd.url(), "stolen", code=5).err
