"""A bundle's whole way: from one repository by a file into another, and into a directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.bundle.crypting import CHEAP
from tests.support import Place

from palatine.bundle.age.keys import Keys, Lock
from palatine.bundle.age.streams import EncryptingWriter
from palatine.ops.export import Request as Export
from palatine.ops.intake import Imported, Request
from palatine.store.snapshots import Stored
from palatine.testing.builders import State, state_of


def elsewhere(place: Place, digest: str = "blake3", name: str = "elsewhere") -> Place:
    """Return another repository, on another machine as far as it can tell."""
    root = place.root / name
    root.mkdir()
    return Place(root, digest)


def snapshotted(place: Place, palace: Path) -> Stored:
    """Snapshot a palace that is not the place's own."""
    with place.open() as repository:
        done = repository.snapshot(palace)
    assert done.stored.snapshot.complete
    return done.stored


def exported(place: Place, revision: str, name: str = "bundle", **more: Any) -> Path:
    """Export a snapshot; return the file."""
    file = place.root / f"{name}.tar.zst"
    with place.open() as repository:
        return repository.export(revision, Export(file, **{"level": 1, **more})).file


def sealed(file: Path, lock: Lock) -> Path:
    """Return a file encrypted as an export does, but with a passphrase that is quick to check."""
    target = file.with_name(file.name + ".age")
    with target.open("wb") as out, EncryptingWriter(out, lock, CHEAP) as encrypting:
        encrypting.write(file.read_bytes())
    return target


def imported(place: Place, file: Path, keys: Keys | None = None, **more: Any) -> Imported:
    """Import a bundle."""
    with place.open() as repository:
        return repository.import_bundle(Request(file, keys=keys or Keys(), **more))


def put_back(place: Place, revision: str, name: str) -> dict[bytes, State]:
    """Restore to a new directory; return what is there, and in the outside parts beside it."""
    target = place.root / name
    with place.open() as repository:
        repository.restore(revision, target)
    return everything(target)


def everything(target: Path) -> dict[bytes, State]:
    """Return what is in a restored palace, and in the outside parts beside it."""
    found = state_of(target)
    beside = target.with_name(target.name + ".outside")
    if beside.exists():
        # The directory that holds the parts is nobody's: its time is that of the restore.
        parts = state_of(beside)
        del parts[b""]
        found |= {
            b"outside:" + path: one._replace(first=b"outside:" + one.first)
            for path, one in parts.items()
        }
    return found


def blocks(root: Path) -> int:
    """Return the bytes on disk that the files below a directory take."""
    paths = (path for path in root.rglob("*") if path.is_file())
    return sum(os.lstat(path).st_blocks * 512 for path in paths)


def size_of(root: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(os.lstat(path).st_size for path in root.rglob("*") if path.is_file())
