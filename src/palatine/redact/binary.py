"""Bytes that are no text: what kind they are, and whether a run of characters in them is a secret.

Numbers, vectors and most formats keep their strings as they are, in UTF-8 or UTF-16: a secret in
them is seen. What is compressed or encrypted, or cuts its strings, hides them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from palatine.redact.scrub import Scrubber, Tally

BLOCK = 1 << 20
OVERLAP = 64 << 10
"""Bytes of the longest match that is found wherever it stands."""
SAMPLE = 1 << 20
_RANDOM_MIN = 4096
_RANDOM_RATIO = 0.98
"""Of what deflate leaves: floating-point vectors go to 0.93, compressed and encrypted bytes not
below 1."""

VECTOR_NAMES = {b"data_level0.bin", b"link_lists.bin", b"length.bin", b"header.bin"}
"""Files of hnswlib, which hold numbers only."""
_GIT_INDEX = b"DIRC"
"""Names between digests."""
_NUMBERS = (b"usearch", b"\x93NUMPY")
_MEDIA = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"OggS", b"fLaC", b"ID3", b"\0asm", b"\x7fELF")
_OPAQUE = (
    (b"redb\x1a\x0a\xa9\x0d\x0a", "a redb database"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xfd7zXZ\0", "compressed by xz"),
    (b"BZh", "compressed by bzip2"),
    (b"\x04\x22\x4d\x18", "compressed by lz4"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"%PDF-", "a PDF, which is compressed"),
    (b"age-encryption.org/", "encrypted by age"),
    (b"PAR1", "a Parquet file, which is compressed"),
    (b"ARROW1", "an Arrow file, which may be compressed"),
)
RUN = 6
"""ASCII characters in a row that are looked at: fewer come by chance, in every page of numbers."""
_RUNS = re.compile(rb"[\t\n\r\x20-\x7e]{%d,}" % RUN)
_WIDE = (
    re.compile(rb"(?:[\t\n\r\x20-\x7e]\0){%d,}" % RUN),
    re.compile(rb"(?:\0[\t\n\r\x20-\x7e]){%d,}" % RUN),
)
_MAYBE_WIDE = re.compile(rb"[\t\n\r\x20-\x7e]\0[\t\n\r\x20-\x7e]\0[\t\n\r\x20-\x7e]\0")
"""In either order of bytes: five times as fast to find that there is none."""


def opaque_kind(head: bytes) -> str | None:
    """Return what holds text that cannot be seen, by its first bytes; None: nothing known."""
    for magic, kind in _OPAQUE:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "a tar archive"
    return "a DuckDB database" if head[8:12] == b"DUCK" else None


def looks_hidden(name: bytes, sample: bytes) -> bool:
    """Whether bytes are so random that they must be compressed or encrypted, or vectors.

    The files of known vector indexes, pictures and sound are what they are.
    """
    if (
        name in VECTOR_NAMES
        or sample.startswith((*_NUMBERS, *_MEDIA, _GIT_INDEX))
        or name.endswith(b".usearch")
    ):
        return False
    return len(sample) >= _RANDOM_MIN and len(zlib.compress(sample, 6)) > _RANDOM_RATIO * len(
        sample
    )


def search(scrubber: Scrubber, read: Callable[[int], bytes], tally: Tally) -> None:
    """Count the secrets in the runs of characters of some bytes; `read(n)` returns the next."""
    held = b""
    while block := read(BLOCK):
        data = held + block
        _search(scrubber, data, tally)
        held = data[-OVERLAP:]


def _search(scrubber: Scrubber, data: bytes, tally: Tally) -> None:
    views = [b"\n".join(_RUNS.findall(data))]
    if _MAYBE_WIDE.search(data):
        runs = (b"\n".join(wide.findall(data)) for wide in _WIDE)
        views += [one.replace(b"\0", b"") for one in runs]
    for view in views:
        if view:
            scrubber.scrub(view.decode("ascii"), tally, structured=False)
