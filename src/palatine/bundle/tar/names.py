"""Names from archives that nobody vouches for: none leads elsewhere, none stands for two things."""

from __future__ import annotations

import os

from palatine.bundle.limits import DEPTH_MAX, NAME_MAX, PATH_MAX, Limits, Seen, folded
from palatine.errors import Malformed, Refused

_FILE, _DIRECTORY, _LINK = "file", "directory", "hard link"


def clean_name(raw: bytes, what: str = "name") -> bytes:
    """Return a name without empty parts and `.`; raises Malformed for what leads elsewhere."""
    if b"\0" in raw:
        raise Malformed(f"the archive has a {what} with a NUL in it: {shown(raw)}")
    if raw.startswith(b"/"):
        raise Malformed(f"the archive has an absolute {what}: {shown(raw)}")
    if len(raw) > PATH_MAX:
        raise Malformed(f"the archive has a {what} of {len(raw)} bytes: {shown(raw)}")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Malformed(f"the archive has a {what} that leads out of it: {shown(raw)}")
    if any(len(part) > NAME_MAX for part in parts):
        raise Malformed(f"the archive has a {what} with a part over {NAME_MAX} bytes: {shown(raw)}")
    if len(parts) > DEPTH_MAX:
        raise Malformed(f"the archive has a {what} of {len(parts)} levels: {shown(raw)}")
    return b"/".join(parts)


def shown(name: bytes) -> str:
    """Return a name for an error's message."""
    return repr(os.fsdecode(name if len(name) <= 200 else name[:200] + b"..."))


def case_clash(name: bytes) -> Refused:
    """Return the error for a name that some systems cannot tell from one that came before."""
    return Refused(
        f"{shown(name)} differs from another name only in case or in the spelling of accents",
        "macOS and Windows would lose one of them; --allow-case-folding takes both",
    )


class Names:
    """The names of an archive, which must all be different and not lie below each other's files."""

    def __init__(self, limits: Limits) -> None:
        self._fold = not limits.allow_case_folding
        self._all = Seen()
        self._folded = Seen()
        self._files = Seen()
        self._others = Seen()
        self._above = Seen()
        self._parent = b""

    def take(self, name: bytes, kind: str, link: bytes) -> None:
        """Remember a member; `link` is a hard link's first name. Raises Malformed, Refused."""
        if not self._all.add(name):
            raise Malformed(f"the archive holds {shown(name)} twice")
        if self._fold and not self._folded.add(folded(name)):
            raise case_clash(name)
        self._check_parents(name)
        if kind == _LINK and link not in self._files:
            raise Malformed(
                f"the hard link {shown(name)} leads to {shown(link)}, which is no file that came"
                " before it"
            )
        if kind in (_FILE, _LINK):
            self._files.add(name)
        if kind != _DIRECTORY:
            if name in self._above:
                raise Malformed(f"{shown(name)} is no directory, and something lies below it")
            self._others.add(name)

    def _check_parents(self, name: bytes) -> None:
        parent = name.rpartition(b"/")[0]
        if parent == self._parent:
            return
        above = parent
        while above:
            if above in self._others:
                raise Malformed(f"{shown(name)} lies below {shown(above)}, which is no directory")
            if not self._above.add(above):
                break
            above = above.rpartition(b"/")[0]
        self._parent = parent


class Clashes:
    """Looks for names of one directory that differ in case only; names come depth first."""

    def __init__(self) -> None:
        self._open: list[tuple[bytes, Seen]] = []

    def take(self, path: bytes) -> None:
        """Raise Refused for a name that clashes with one before."""
        if self.meets(path):
            raise case_clash(path)

    def meets(self, path: bytes) -> bool:
        """Remember a name; return whether it clashes with one before."""
        directory, _, name = path.rpartition(b"/")
        while self._open and not _is_in(directory, self._open[-1][0]):
            self._open.pop()
        if not self._open or self._open[-1][0] != directory:
            self._open.append((directory, Seen()))
        return not self._open[-1][1].add(folded(name))


def _is_in(path: bytes, directory: bytes) -> bool:
    return path == directory or not directory or path.startswith(directory + b"/")
