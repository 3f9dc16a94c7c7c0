"""Streams of age (https://c2sp.org/age): an encrypting writer and a decrypting reader.

pyrage runs from a file object to another until the end. It gets a thread that works in turns with
the caller, never at the same time: sink and source are only called by the caller, whose errors
they are, and nothing is left that could hang. 300 MB a second; a stream holds about 3 MiB.

A file is authenticated in pieces of 64 KiB of which the last is marked. What the reader returns is
as it was written; that it is all is known only when the end was reached.
"""

from __future__ import annotations

import weakref
from typing import Protocol, Self

import pyrage  # type: ignore[import-untyped]

from palatine.bundle.age import head as agehead
from palatine.bundle.age import passphrases as agepass
from palatine.bundle.age.armor import BEGIN, Armored, Source
from palatine.bundle.age.keys import Keys, Lock
from palatine.bundle.age.turns import Turns
from palatine.errors import Damaged, Malformed, NoKey
from palatine.ids import Buffer

_PIECE = 1 << 20


class Sink(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


def is_age(first: bytes) -> bool:
    """Return whether a file that begins with these bytes (64 do) is one of age, armored or not."""
    return first.startswith(b"age-encryption.org/v") or first.lstrip().startswith(BEGIN)


class EncryptingWriter:
    """Encrypts what is written to it, into a sink that it does not close.

    Left by an error it aborts: the sink then holds no age file that any reader would take.
    """

    def __init__(self, sink: Sink, lock: Lock, rounds: int = agepass.ROUNDS) -> None:
        """`rounds` is the work that a passphrase costs, as a power of two."""
        self._sink = sink
        self._held = bytearray()
        self._header: agepass.Rewritten | None = None
        recipients = list(lock.recipients)
        if lock.passphrase is not None:
            self._header = agepass.Rewritten(lock.passphrase, rounds)
            recipients = [self._header.pivot.recipient]
        self._turns = Turns(lambda turns: pyrage.encrypt_io(turns, turns, recipients))
        weakref.finalize(self, self._turns.drop)

    def write(self, data: Buffer) -> int:
        """Encrypt more. Raises what the sink raises."""
        for at in range(0, len(data), _PIECE):
            self._held += data[at : at + _PIECE]
            if len(self._held) >= _PIECE:
                self._turn(bytes(self._held))
                self._held.clear()
        return len(data)

    def finish(self) -> None:
        """Write what is held and the mark of the end. Raises what the sink raises."""
        if self._held:
            self._turn(bytes(self._held))
            self._held.clear()
        self._turn(b"")

    def abort(self) -> None:
        """Leave it unfinished, unless it is finished."""
        self._turns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.abort()

    def _turn(self, data: bytes) -> None:
        encrypted = self._turns.turn(data)
        if self._header is not None:
            encrypted = self._header.feed(encrypted)
        try:
            if encrypted:
                self._sink.write(encrypted)
        except BaseException:
            # What came after a gap would look whole.
            self.abort()
            raise


class DecryptingReader:
    """Decrypts a source that stands at the first byte of an age file.

    Left without an error it raises Damaged unless the end was reached; `close` leaves it before.
    """

    def __init__(self, source: Source, keys: Keys, name: str) -> None:
        """`name` is what messages call it. Raises NoKey, Malformed, and what the source raises."""
        self._name = name
        self._source = source
        self._ended = self._closed = False
        first = _first(source)
        if first.lstrip().startswith(BEGIN):
            self._source, first = Armored(source, first, name), b""
        header, rest = self._header(first)
        self._kinds = header.kinds()
        identities = list(keys.identities)
        if header.passphrase:
            pivot = agepass.Pivot()
            file_key = agepass.unwrap(header, keys.passphrase, name)
            identities, rest = [pivot.identity], pivot.wrap(file_key) + rest
        elif identities:
            rest = header.raw + rest
        else:
            raise NoKey(f"{name} is encrypted for {self._kinds}", "--identity FILE names the key")
        self._fed, self._plain, self._at = rest, b"", 0
        self._turns = Turns(lambda turns: pyrage.decrypt_io(turns, turns, identities))
        weakref.finalize(self, self._turns.drop)

    def read(self, size: int, /) -> bytes:
        """Return `size` bytes; fewer and none only after the end was authenticated.

        Raises Damaged for a file that was changed or is cut off, NoKey if no key opens it.
        """
        parts = []
        while size > 0:
            part = self._plain[self._at : self._at + size]
            if not part:
                if self._ended:
                    break
                self._more()
                continue
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Make sure that all was read, and that it is all there was. Raises Damaged."""
        if self.read(1):
            raise Malformed(f"{self._name}: there is more in the file than there should be")
        self.close()

    def close(self) -> None:
        """Leave it, wherever it stands."""
        self._closed = True
        self._turns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None and not self._closed:
                self.finish()
        finally:
            self.close()

    def _header(self, first: bytes) -> tuple[agehead.Header, bytes]:
        """Return the header, and what was read after it."""
        while (parsed := agehead.parse(first, self._name)) is None:
            more = self._source.read(len(first) + 4096)
            if not more:
                raise Malformed(f"{self._name}: cut off in its age header", "fetch the file again")
            first += more
        header, size = parsed
        return header, first[size:]

    def _more(self) -> None:
        """Decrypt another piece."""
        data = self._fed or self._source.read(_PIECE)
        self._fed = b""
        try:
            self._plain, self._at = self._turns.turn(data), 0
        except (pyrage.DecryptError, OSError) as error:
            # The source is read outside of this: its own errors do not come here.
            if "No matching keys" in str(error):
                raise NoKey(
                    f"{self._name}: none of the keys opens it; it is encrypted for {self._kinds}",
                    "--identity FILE names another key",
                ) from error
            raise Damaged(
                f"{self._name}: what is encrypted was changed or is cut off ({error})",
                "fetch the file again",
            ) from error
        self._ended = not data


def _first(source: Source) -> bytes:
    """Return enough of a source's beginning to see what it is."""
    first = b""
    while len(first.lstrip()) < len(BEGIN) and (more := source.read(len(BEGIN))):
        first += more
        if len(first) > _PIECE:
            break
    return first
