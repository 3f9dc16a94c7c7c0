"""Captures one after the other, without a repository: enough of them to meet what is rare."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from tests.support import BLAKE3, count

from palatine.capture.databases import DatabaseCapture
from palatine.capture.outcomes import Root, Taken, Target, Terms
from palatine.clock import SYSTEM
from palatine.events import SILENT
from palatine.ids import Buffer, Kind, ObjectId
from palatine.model.tree import Part
from palatine.store.trees import load_list
from palatine.testing.sqlite_books import check_accounts, check_pair, make_accounts, make_transfers
from palatine.testing.writers import working

CASES = [("wal", 512, 0), ("wal", 4096, 2), ("wal", 65536, 0), ("delete", 1024, 1),
         ("truncate", 4096, 0), ("persist", 16384, 2)]  # fmt: skip
CAPTURES = count(30, 1998)
THREADS = 3

pytestmark = pytest.mark.usefixtures("pins")


class Objects:
    """A sink that keeps the objects of one capture."""

    def __init__(self) -> None:
        self._kept: dict[ObjectId, bytes] = {}

    def put(self, kind: Kind, data: Buffer, predecessor: ObjectId | None = None) -> ObjectId:
        object_id = self.name(kind, data)
        self._kept[object_id] = bytes(data)
        return object_id

    def name(self, kind: Kind, data: Buffer) -> ObjectId:
        return BLAKE3.object_id(kind, data)

    def present(self, object_id: ObjectId) -> bool:
        return False

    def get(self, kind: Kind, object_id: ObjectId) -> bytes:
        return self._kept[object_id]


def images_of(root: Root, target: Path, *names: str) -> list[Path]:
    """Capture databases together and return their images."""
    sink = Objects()
    terms = Terms(64 << 10, 30.0, SYSTEM, SYSTEM.now_ns())
    targets = [Target(root, os.fsencode(name)) for name in names]
    taken = DatabaseCapture(sink, SILENT, terms).capture(targets)
    images = []
    for name, at in zip(names, targets, strict=True):
        one = taken[at]
        assert isinstance(one, Taken), one
        assert one.content is not None
        image = target / f"image-{threading.get_ident()}-{name}"
        image.write_bytes(one.content.small or whole(sink, one.content.level, one.content.parts))
        images.append(image)
    return images


def whole(sink: Objects, level: int, parts: Sequence[Part]) -> bytes:
    if level == 0:
        return b"".join(sink.get(Kind.CHUNK, part.id) for part in parts)
    return b"".join(whole(sink, level - 1, load_list(sink, level, one.id).parts) for one in parts)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Root]:
    fd = os.open(directory, os.O_RDONLY)
    try:
        yield Root(fd, os.fsencode(directory))
    finally:
        os.close(fd)


def at_once(work: list[threading.Thread]) -> None:
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()


@pytest.mark.torture
@pytest.mark.timeout(5400)
@pytest.mark.parametrize(("mode", "page_size", "auto_vacuum"), CASES)
def test_captures_by_several_threads_are_all_committed_states(
    tmp_path: Path, mode: str, page_size: int, auto_vacuum: int
) -> None:
    palace = tmp_path / "palace"
    palace.mkdir()
    accounts = palace / "accounts.db"
    make_accounts(accounts, mode, page_size, auto_vacuum)
    wrong: list[str] = []

    def captures(number: int) -> None:
        random = Random(number)
        try:
            with opened(palace) as root:
                for _ in range(CAPTURES // THREADS):
                    SYSTEM.sleep(random.random() * 0.003)
                    (image,) = images_of(root, tmp_path, "accounts.db")
                    wrong.append(check_accounts(image))
        except BaseException as error:
            wrong.append(repr(error))
            raise

    with contextlib.ExitStack() as stack:
        for seed in range(3):
            stack.enter_context(working("account_writer", mode, seed, accounts))
        stack.enter_context(working("checkpointer", mode, 3, accounts))
        stack.enter_context(working("reader", mode, 4, accounts))
        at_once([threading.Thread(target=captures, args=(one,)) for one in range(THREADS)])
    assert len(wrong) == CAPTURES
    assert [one for one in wrong if one] == []


@pytest.mark.torture
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("role", ["transferrer", "visitor"])
@pytest.mark.parametrize("modes", [("wal", "wal"), ("delete", "delete"), ("wal", "delete"),
                                   ("delete", "wal")], ids="-".join)  # fmt: skip
def test_a_pair_is_captured_as_of_one_instant(
    tmp_path: Path, modes: tuple[str, str], role: str
) -> None:
    palace = tmp_path / "palace"
    palace.mkdir()
    pair = palace / "a.db", palace / "b.db"
    for path, mode in zip(pair, modes, strict=True):
        make_transfers(path, mode, 4096)
    with opened(palace) as root, working(role, "", 1, *pair):
        for _ in range(CAPTURES // 2):
            assert check_pair(*images_of(root, tmp_path, "a.db", "b.db")) == ""
