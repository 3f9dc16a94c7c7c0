"""Git directories in an archive that holds regular files only.

After `git gc` no file is left below `refs/`, and without that directory git knows no repository
(gitrepository-layout(5)). So something is put there: one packed branch as a loose one besides, the
same to git. Commits are read from loose objects, or from the log of HEAD.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import NamedTuple

_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_WHO = re.compile(r"(?P<who>.* <[^>]*>) (?P<at>\d{1,11}) [+-]\d{4}\Z")
_SMALL = 16 << 20
_PARTS = {b"refs": (b"refs/heads", b"refs/tags"), b"objects": (b"objects/info", b"objects/pack")}


class Head(NamedTuple):
    """What the manifest says of HEAD: the commit, its subject and author, milliseconds."""

    oid: str = "0" * 40
    subject: str = "(no memdir)"
    author: str = "nexo-memory-snapshot <ops@example.com>"
    time_ms: int = 0


NO_HEAD = Head()
"""What the tool writes where there is no repository, or no commit."""


def read_head(git: Path) -> Head:
    """Return what HEAD of a git directory is."""
    branch = _branch(git)
    oid = _loose(git, branch) or _packed(git).get(branch, "") if branch else _text(git / "HEAD")
    if not _OID.match(oid):
        return NO_HEAD
    return _commit(git, oid) or _logged(git, oid) or Head(oid[:40], "", "", 0)


def needed_files(git: Path) -> dict[bytes, bytes]:
    """Return files that a git directory needs so that its regular files alone are a repository."""
    needed: dict[bytes, bytes] = {}
    if not _has_file(git / "refs"):
        packed = _packed(git)
        name = _branch(git)
        name = name if name in packed else next(iter(packed), "")
        if name:
            needed[name.encode("utf-8", "surrogateescape")] = packed[name].encode() + b"\n"
        else:
            needed[b"refs/heads/.empty"] = b""  # git passes over names with a dot before them
    if not _has_file(git / "objects"):
        needed[b"objects/info/packs"] = b"\n"  # as `git update-server-info` writes it
    return needed


def make_whole(git: Path) -> bool:
    """Make the directories that a repository cannot do without; return whether any was missing."""
    lacking = False
    for part, inner in _PARTS.items():
        directory = git / part.decode()
        if directory.exists():
            continue
        lacking = True
        for one in inner:
            (git / one.decode()).mkdir(parents=True)
    return lacking


def is_git_directory(git: Path) -> bool:
    """Whether this is a repository's directory, perhaps without what is empty."""
    head = _text(git / "HEAD")
    if not (head.startswith("ref: refs/") or _OID.match(head)):
        return False
    return (git / "objects").is_dir() or any(
        (git / name).is_file() for name in ("config", "packed-refs")
    )


def _branch(git: Path) -> str:
    head = _text(git / "HEAD")
    name = head.removeprefix("ref: ")
    safe = name.startswith("refs/") and ".." not in name.split("/")
    return name if head != name and safe else ""


def _loose(git: Path, name: str) -> str:
    return _text(git / name)


def _packed(git: Path) -> dict[str, str]:
    """Return the references in `packed-refs` (git-pack-refs(1)) that are well formed."""
    found = {}
    for line in _text(git / "packed-refs").splitlines():
        oid, _, name = line.partition(" ")
        if _OID.match(oid) and name.startswith("refs/") and ".." not in name:
            found[name] = oid
    return found


def _commit(git: Path, oid: str) -> Head | None:
    """Return a commit that is a loose object."""
    try:
        packed = _bytes(git / "objects" / oid[:2] / oid[2:])
        data = zlib.decompressobj().decompress(packed, _SMALL) if packed else b""
    except zlib.error:
        return None
    kind, _, body = data.partition(b"\0")
    if not kind.startswith(b"commit "):
        return None
    head, _, message = body.decode("utf-8", "replace").partition("\n\n")
    author = next((line[7:] for line in head.split("\n") if line.startswith("author ")), "")
    return _said(oid, message.strip().partition("\n")[0], author)


def _logged(git: Path, oid: str) -> Head | None:
    """Return a commit as the log of HEAD has it."""
    for line in reversed(_text(git / "logs" / "HEAD").splitlines()):
        entry, _, message = line.partition("\t")
        _, _, after = entry.partition(" ")
        new, _, who = after.partition(" ")
        if new == oid:
            return _said(oid, message.partition(": ")[2] or message, who)
    return None


def _said(oid: str, subject: str, who: str) -> Head:
    match = _WHO.match(who)
    author, at = (match["who"], int(match["at"])) if match else ("", 0)
    return Head(oid[:40], subject, author, at * 1000)


def _has_file(directory: Path) -> bool:
    return directory.is_dir() and any(path.is_file() for path in directory.rglob("*"))


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "surrogateescape").strip()


def _bytes(path: Path) -> bytes:
    """Return a small file's bytes, nothing for what is none."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _SMALL:
            return b""
        return path.read_bytes()
    except OSError:
        return b""
