"""Secrets in one file, whatever it is: text, a database, compressed, or numbers."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from palatine.chunking import SQLITE_MAGIC
from palatine.fsio import remove_tree
from palatine.redact import binary
from palatine.redact.blobs import Hidden, unzstd
from palatine.redact.database import scrub_database
from palatine.redact.scrub import Scrubber, Tally
from palatine.redact.textfile import encoding_of, scrub_file

UNPACKED_MAX = 16 << 30
"""Bytes of a compressed file that are unpacked, into the scratch directory."""
_HEAD = 64 << 10
_BLOCK = 1 << 20
_PACKED = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b\x08": "gzip"}
_DEPTH = 3
_DATABASE_NAMES = (
    b".db", b".sqlite", b".sqlite3", b".db3", b".mdb", b".lmdb", b".duckdb", b".redb", b".ldb",
    b".sst", b".rdb", b".lance",
)  # fmt: skip
_NO_TEXT = (SQLITE_MAGIC, *_PACKED)
_WAL = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")


class Contents:
    """Scrubs files. `notes` and `emptied` are what the last one had beside its secrets."""

    def __init__(self, scrubber: Scrubber, scratch: Path) -> None:
        """`scratch` is a private directory: what is written there holds secrets."""
        self._scrubber = scrubber
        self._scratch = scratch
        self.notes: list[str] = []
        self.emptied: Counter[tuple[str, str]] = Counter()

    @contextlib.contextmanager
    def scrubbed(self, path: Path, name: bytes, tally: Tally) -> Iterator[Path | None]:
        """Yield a file with what is to replace the content of another; None: it may stay.

        Raises Hidden for what cannot be processed, OSError for what cannot be read.
        """
        self.notes, self.emptied = [], Counter()
        if self._is_clean_text(path):
            yield None
            return
        with self._place() as place:
            yield self._scrubbed(path, name, place, tally, _DEPTH)

    def _is_clean_text(self, path: Path) -> bool:
        """Whether a file is small text without secrets: most are, and need no scratch."""
        if path.stat().st_size > _HEAD:
            return False
        data, found = path.read_bytes(), Counter[str]()
        encoding = None if data.startswith(_NO_TEXT) else encoding_of(data)
        if encoding is None or b"\0" in data or binary.opaque_kind(data) is not None:
            return False
        with contextlib.suppress(UnicodeError):
            for _ in scrub_file(self._scrubber, io.BytesIO(data), len(data), encoding, found):
                pass
            return not found
        return False

    @contextlib.contextmanager
    def _place(self) -> Iterator[Path]:
        place = Path(tempfile.mkdtemp(dir=self._scratch))
        try:
            yield place
        finally:
            remove_tree(place)

    def _scrubbed(
        self, path: Path, name: bytes, place: Path, tally: Tally, depth: int
    ) -> Path | None:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(SQLITE_MAGIC):
            outcome = scrub_database(self._scrubber, path, place, tally)
            self.notes += outcome.notes
            self.emptied.update(outcome.emptied)
            return None if outcome.unchanged else outcome.copy
        for magic, kind in _PACKED.items():
            if head.startswith(magic):
                return self._packed(path, name, place, tally, (kind, depth))
        if head.startswith(_WAL):
            raise Hidden("is the journal of a database that is not beside it")
        if (opaque := binary.opaque_kind(head)) is not None:
            raise Hidden(f"is {opaque}")
        encoding = encoding_of(head)
        if encoding is not None:
            with contextlib.suppress(UnicodeError):
                return self._text(path, encoding, place, tally)
        self._binary(path, name, head, tally)
        return None

    def _text(self, path: Path, encoding: str, place: Path, tally: Tally) -> Path | None:
        new, found, nuls = place / "text", Counter[str](), False
        with path.open("rb") as file, new.open("wb") as out:
            for piece in scrub_file(
                self._scrubber, file, path.stat().st_size, encoding, found
            ):  # fmt: skip
                nuls = nuls or b"\0" in piece
                out.write(piece)
        tally.update(found)
        if nuls and encoding == "utf-8":  # some of it may be UTF-16
            left = Counter[str]()
            self._search(new, left)
            if left:
                tally.update(left)
                raise Hidden("holds a secret in text of another encoding")
        return new if found else None

    def _binary(self, path: Path, name: bytes, head: bytes, tally: Tally) -> None:
        if name.lower().endswith(_DATABASE_NAMES):
            raise Hidden("is a database that cannot be read: encrypted, or none of SQLite's")
        with path.open("rb") as file:
            file.seek(path.stat().st_size // 2)
            middle = file.read(binary.SAMPLE)
        if binary.looks_hidden(name, head) or binary.looks_hidden(name, middle):
            raise Hidden("is compressed or encrypted, as far as can be seen")
        left = Counter[str]()
        self._search(path, left)
        if left:
            tally.update(left)
            raise Hidden("holds a secret between bytes that are no text")

    def _search(self, path: Path, tally: Tally) -> None:
        with path.open("rb", buffering=0) as file:
            binary.search(self._scrubber, _DataReader(file.fileno()).read, tally)

    def _packed(
        self, path: Path, name: bytes, place: Path, tally: Tally, how: tuple[str, int]
    ) -> Path | None:
        kind, depth = how
        if not depth:
            raise Hidden("is packed too often")
        inner, below = place / "unpacked", place / "inner"
        below.mkdir()
        with path.open("rb") as source, inner.open("wb") as target:
            _write(unzstd(source.read) if kind == "zstd" else _ungzip(source), target)
        stem = name.rpartition(b".")[0]
        new = self._scrubbed(inner, stem, below, tally, depth - 1)
        if new is None:
            return None
        packed = place / "packed"
        with new.open("rb") as source, packed.open("wb") as target:
            if kind == "zstd":
                zstandard.ZstdCompressor(3).copy_stream(source, target)
            else:
                with gzip.GzipFile("", "wb", fileobj=target, mtime=0) as squeezed:
                    shutil.copyfileobj(source, squeezed, _BLOCK)
        return packed


def _ungzip(file: BinaryIO) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=file) as reader:
            while block := reader.read(_BLOCK):
                yield block
    except (zlib.error, gzip.BadGzipFile, EOFError):
        raise Hidden("is compressed by gzip and cannot be unpacked") from None


def _write(pieces: Iterator[bytes], target: BinaryIO) -> None:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > UNPACKED_MAX:
            raise Hidden(f"unpacks to more than {UNPACKED_MAX} bytes")
        target.write(piece)


class _DataReader:
    """A file's bytes without its holes, with a line end for each: some files are holes almost."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size` and one; none at the end."""
        try:
            start = os.lseek(self._fd, self._at, os.SEEK_DATA)
            end = os.lseek(self._fd, start, os.SEEK_HOLE)
        except OSError:
            return b""  # nothing but a hole is left
        data = os.pread(self._fd, min(size, end - start), start)
        skipped = b"\n" if start > self._at else b""
        self._at = start + len(data)
        return skipped + data
