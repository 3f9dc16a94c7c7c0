"""Making a scratch image fit the live database that it will be put into, and telling equal ones.

The image is a file of ours that nobody else sees. What is changed in it is what SQLite's backup()
would trip over: the journal mode in its header, another page size, too few pages, sidecars.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from palatine.errors import Refused
from palatine.sqlite.image import HEADER_SIZE, page_size_of
from palatine.sqlite.sidecars import SUFFIXES

_VERSIONS = slice(18, 20)
_ROLLBACK, _WAL = b"\1\1", b"\2\2"
_OWN = (_VERSIONS, slice(24, 32), slice(40, 44), slice(92, 100))
"""Bytes of the header that a database keeps for itself when content is put into it: journal mode,
change counter and size, schema cookie, version. https://www.sqlite.org/fileformat2.html, 1.3.
"""


def masked(page: bytes | bytearray | memoryview) -> bytes:
    """Return a first page without what differs between databases of equal content."""
    found = bytearray(page)
    for part in _OWN:
        found[part] = bytes(part.stop - part.start)
    return bytes(found)


def says_wal(head: bytes) -> bool:
    """Whether a main file's header says that it is in WAL mode."""
    return head[_VERSIONS] == _WAL


def fit(image: Path, database: Path) -> None:
    """Prepare an image to be put into a database; call it while no connection to that is open here.

    It is in rollback mode then (the database keeps its own), has at least two pages, and where the
    database is in WAL mode its page size. Raises Refused when it cannot be rebuilt with that.
    """
    settle(image)
    head = _head(database)
    size = page_size_of(head)
    if not image.stat().st_size:
        _make_empty(image, size)
        return
    _say_rollback(image)
    if says_wal(head) and size and size != page_size_of(_head(image)):
        _rebuild(image, size, database)
    _add_free_page(image)


def settle(image: Path) -> None:
    """Bring into an image what lies in sidecars that were captured as files."""
    sidecars = [Path(f"{image}{os.fsdecode(suffix)}") for suffix in SUFFIXES]
    if any(one.exists() for one in sidecars):
        with contextlib.closing(sqlite3.connect(image, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE").fetchone()
        for one in sidecars:
            one.unlink(missing_ok=True)


def _say_rollback(image: Path) -> None:
    with image.open("r+b") as file:
        if file.read(16):
            file.seek(_VERSIONS.start)
            file.write(_ROLLBACK)


def _rebuild(image: Path, page_size: int, database: Path) -> None:
    """Write an image anew with another page size. Rowids stay (VACUUM INTO keeps them all)."""
    rebuilt = image.with_name(image.name + ".pal-rebuilt")
    try:
        with contextlib.closing(sqlite3.connect(image, isolation_level=None)) as db:
            db.execute(f"PRAGMA page_size = {page_size}")
            db.execute("VACUUM INTO ?", (os.fspath(rebuilt),))
    except sqlite3.Error as error:
        rebuilt.unlink(missing_ok=True)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise
        raise Refused(
            f"{database} has pages of {page_size} bytes, its snapshot has others, and SQLite cannot"
            f" rebuild that: {error}",
            "stop its service and use --replace instead of --live",
        ) from error
    _overwrite(image, rebuilt)
    _say_rollback(image)


def _overwrite(image: Path, rebuilt: Path) -> None:
    """Put the bytes of a rebuilt image into the image itself, which keeps its mode and owner."""
    with rebuilt.open("rb") as source, image.open("r+b") as target:
        target.truncate()
        while data := source.read(1 << 20):
            target.write(data)
    rebuilt.unlink()


def _make_empty(image: Path, page_size: int) -> None:
    """Make a database without content out of an empty file."""
    with contextlib.closing(sqlite3.connect(image, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size = {page_size or 4096}")
        db.execute("CREATE TABLE free_page(id)")
        db.execute("DROP TABLE free_page")


def _add_free_page(image: Path) -> None:
    """Give a database of one page a second one, unused.

    backup() in steps stops before the last page at the earliest after the first.
    """
    head = _head(image)
    size = page_size_of(head)
    if not size or image.stat().st_size != size:
        return
    # Where auto-vacuum is on, page 2 tells what the pages behind it are: page 3 is free, kind 2
    has_map = any(head[52:56])
    pages = 3 if has_map else 2
    counter = head[24:28]
    with image.open("r+b") as file:
        file.seek(28)  # pages, first page and length of the list of free pages
        file.write(b"".join(n.to_bytes(4, "big") for n in (pages, pages, 1)))
        file.seek(92)  # this size holds as of this change counter
        file.write(counter)
        file.truncate(pages * size)
        if has_map:
            file.seek(size)
            file.write(b"\2")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_SIZE)
