"""An archive with a manifest of so many entries as are wanted, made as it is read."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator

from tests.bundle.handmade import Handmade, Made


class Endless:
    """Reads as the beginning of a bundle that ends after its manifest."""

    def __init__(self, entries: int) -> None:
        self._parts = _archive(entries)
        self._held = b""

    def read(self, size: int, /) -> bytes:
        while not self._held:
            more = next(self._parts, None)
            if more is None:
                return b""
            self._held = more
        data, self._held = self._held[:size], self._held[size:]
        return data


def _archive(entries: int) -> Iterator[bytes]:
    made = Handmade({"palace": Made()})
    made.manifest = lambda manifest: manifest.update({"count": entries + 1})
    manifest = made.said()
    (root,) = manifest.pop("entries")
    text = json.dumps(manifest, separators=(",", ":"))[:-1]
    first = f'{text},"entries":[\n{json.dumps(root)}'.encode()
    line = b',\n{"path":"palace/%012d","kind":"file","mode":"0644","mtime_ns":0}'
    last = b"\n]}\n"
    info = tarfile.TarInfo("manifest.json")
    info.size = len(first) + entries * len(line % 0) + len(last)
    yield info.tobuf(tarfile.PAX_FORMAT)
    yield first
    for at in range(0, entries, 1000):
        yield b"".join(line % one for one in range(at, min(at + 1000, entries)))
    yield last + bytes(-info.size % 512) + bytes(1024)
