"""Age files that were changed, cut off or made to do harm: an error, and never fewer bytes."""

from __future__ import annotations

import base64
import io
import random
import resource
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.crypting import age, age_key, decrypted, encrypted
from tests.support import count

from palatine.bundle.age import head as agehead
from palatine.bundle.age.keys import Keys, Lock, Passphrase, keys_of, lock_of
from palatine.bundle.age.streams import DecryptingReader
from palatine.errors import Damaged, Malformed, NoKey, PalatineError, Refused

PLAIN = random.Random(5).randbytes(1000)
LONG = random.Random(6).randbytes(200_000)
STANZA = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
END = b"--- " + b"A" * 43 + b"\n"
PASSPHRASE = Passphrase(b"correct horse")


class Made:
    """Age files of each kind, and what opens them."""

    def __init__(self, root: Path) -> None:
        recipient = age_key(root / "key")
        lock = lock_of([recipient])
        keys = keys_of([str(root / "key")])
        opener = keys_of([], PASSPHRASE)
        self.short = {
            "key": (encrypted(PLAIN, lock), keys),
            "passphrase": (encrypted(PLAIN, Lock((), PASSPHRASE)), opener),
            "armor": (age("-a", "-r", recipient, data=PLAIN), keys),
        }
        self.long = {
            "key": (encrypted(LONG, lock), keys),
            "passphrase": (encrypted(LONG, Lock((), PASSPHRASE)), opener),
            "armor": (age("-a", "-r", recipient, data=LONG), keys),
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize("kind", ["key", "passphrase", "armor"])
def test_cut_off_at_every_byte(made: Made, kind: str) -> None:
    whole, keys = made.short[kind]
    before = {*threading.enumerate()}
    assert decrypted(whole, keys) == PLAIN
    for size in range(len(whole)):
        if kind == "armor" and size == len(whole) - 1:
            continue  # only the newline after the end is missing
        with pytest.raises(Damaged):
            decrypted(whole[:size], keys)
    assert {*threading.enumerate()} <= before


@pytest.mark.parametrize("kind", ["key", "passphrase", "armor"])
def test_cut_off_at_every_piece(made: Made, kind: str) -> None:
    whole, keys = made.long[kind]
    assert decrypted(whole, keys) == LONG
    head = 0 if kind == "armor" else whole.index(b"\n--- ") + 49 + 16
    for size in [*range(head, len(whole), 65_552), *range(0, len(whole), 4096)]:
        with pytest.raises(Damaged):
            decrypted(whole[:size], keys)


@pytest.mark.parametrize("kind", ["key", "passphrase", "armor"])
def test_a_bit_changed_at_every_few_kilobytes(made: Made, kind: str) -> None:
    whole, keys = made.long[kind]
    for at in [*range(0, len(whole), 4096), *range(len(whole) - 20, len(whole) - 1)]:
        changed = bytearray(whole)
        changed[at] ^= 1
        with pytest.raises(PalatineError):
            decrypted(bytes(changed), keys)


@pytest.mark.parametrize("kind", ["key", "passphrase", "armor"])
def test_a_byte_changed_anywhere(made: Made, kind: str) -> None:
    """An error, or (the unused bits and the line ends of armor) what was encrypted."""
    whole, keys = made.short[kind]
    fine = 0
    for at in range(0, len(whole), count(3, 1)):
        changed = bytearray(whole)
        changed[at] ^= 4
        try:
            assert decrypted(bytes(changed), keys) == PLAIN
            fine += 1
        except PalatineError:
            continue
    assert fine == 0 if kind != "armor" else fine < 4


@pytest.mark.parametrize("kind", ["key", "passphrase", "armor"])
def test_more_after_the_end(made: Made, kind: str) -> None:
    whole, keys = made.short[kind]
    for more in (b"x", b"\0" * 70_000, whole):
        with pytest.raises(Damaged):
            decrypted(whole + more, keys)
    if kind == "armor":
        assert decrypted(b"\r\n \n" + whole.replace(b"\n", b"\r\n") + b" \r\n", keys) == PLAIN


def test_pieces_left_out_doubled_or_exchanged(made: Made) -> None:
    whole, keys = made.long["key"]
    head = whole.index(b"\n--- ") + 49 + 16
    one, two, *rest = [whole[at : at + 65_552] for at in range(head, len(whole), 65_552)]
    for pieces in ([two, *rest], [one, one, two, *rest], [two, one, *rest], [one, *rest], [one]):
        with pytest.raises(Damaged):
            decrypted(whole[:head] + b"".join(pieces), keys)


@given(st.binary(max_size=300), st.booleans())
def test_what_begins_like_age_and_goes_on_anyhow(made: Made, junk: bytes, line: bool) -> None:
    start = agehead.VERSION + (b"-> X25519 " if line else b"")
    for keys in (made.short["key"][1], made.short["passphrase"][1]):
        with pytest.raises(PalatineError):
            decrypted(start + junk, keys)


def test_another_version(made: Made) -> None:
    with pytest.raises(Malformed, match="not an age file of version 1"):
        decrypted(b"age-encryption.org/v2\n-> X25519 a\n", made.short["key"][1])


class Endless(io.RawIOBase):
    """A header without an end."""

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._first = agehead.VERSION

    def read(self, size: int = -1, /) -> bytes:
        first, self._first = self._first, b""
        return (first + self._line * (size // len(self._line) + 1))[:size]


@pytest.mark.parametrize(
    "line", [b"x", b"-> a\n", b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"]
)
def test_a_header_without_end(made: Made, line: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(Malformed):
        DecryptingReader(Endless(line), made.short["key"][1], "F")
    assert time.monotonic() - started < 60


def test_a_header_of_the_largest_size_takes_no_time(made: Made) -> None:
    head = agehead.VERSION + STANZA * (agehead.MOST // len(STANZA) - 2) + END
    started = time.monotonic()
    with pytest.raises(PalatineError):
        decrypted(head + bytes(100), made.short["key"][1])
    assert time.monotonic() - started < 60


def scrypt(rounds: bytes, salt: int = 16, body: int = 32, more: bytes = b"") -> bytes:
    encoded = base64.b64encode(bytes(salt)).rstrip(b"=")
    wrapped = base64.b64encode(bytes(body)).rstrip(b"=")
    stanza = b"-> scrypt " + encoded + b" " + rounds + b"\n" + wrapped + b"\n"
    return agehead.VERSION + stanza + more + END + bytes(100)


def test_a_passphrase_that_asks_for_all_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    keys = Keys((), PASSPHRASE)
    with pytest.raises(Refused, match="16 GiB of memory"):
        decrypted(scrypt(b"24"), keys)
    for rounds in (b"0", b"-1", b"01", b"99999999999", b"1e3", b"\xc2\xb2"):
        with pytest.raises(PalatineError):
            decrypted(scrypt(rounds), keys)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_passphrases_that_age_would_not_write(made: Made) -> None:
    keys = Keys((), PASSPHRASE)
    for file in (scrypt(b"10", salt=15), scrypt(b"10", body=31), scrypt(b"10 10")):
        with pytest.raises(Malformed):
            decrypted(file, keys)
    beside = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
    for file in (
        scrypt(b"10", more=beside),
        scrypt(b"10", more=scrypt(b"10")[22:].split(b"---")[0]),
    ):
        with pytest.raises(Malformed, match="age does not allow"):
            decrypted(file, keys)
    with pytest.raises(NoKey):
        decrypted(scrypt(b"10"), keys)


def test_the_header_of_another_file(made: Made) -> None:
    (one, keys), (two, _) = made.short["passphrase"], made.long["passphrase"]
    with pytest.raises(Damaged):
        decrypted(one[: one.index(b"\n--- ") + 49] + two[two.index(b"\n--- ") + 49 :], keys)
