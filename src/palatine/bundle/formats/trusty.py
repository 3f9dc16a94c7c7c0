"""trusty-memory: `tar -czf` of a palace's directory and, last, a manifest. It holds no digests.

Their restore (0.1.45) takes any entry order, unpacks all, copies the directory that the manifest
names, and follows symlinks when it does.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from palatine.bundle.formats.base import (
    MANIFEST,
    MANIFEST_MAX,
    About,
    Found,
    Notes,
    Opener,
    Sink,
    StreamFormat,
    parsed,
    pretty,
    rfc3339,
    time_of,
    too_new,
)
from palatine.bundle.formats.counting import DirectoryImage
from palatine.bundle.formats.taring import GzipWriter, TarWriter, add_item, plain_member
from palatine.bundle.formats.walking import (
    Item,
    Kind,
    leads_to_file,
    tell_attributes,
    tell_outside,
    walk,
)
from palatine.bundle.tar.read import Kind as MemberKind
from palatine.bundle.tar.read import Member
from palatine.bundle.unpack import NewTree, new_tree
from palatine.errors import Malformed, SourceError, UsageError
from palatine.layouts.base import read_json
from palatine.layouts.trusty import Trusty as Layout
from palatine.model.names import FILE_NAME_MAX, check_palace

_SCHEMA = 1
_NO_NAMES = ("", ".", "..", MANIFEST.decode())


class _Manifest(msgspec.Struct):
    palace_id: str
    schema_version: int
    palace_name: str = ""
    backed_up_at: str = ""
    drawer_count: int | None = None
    trusty_memory_version: str = ""


class Trusty(StreamFormat):
    """Archives of trusty-memory's `backup`."""

    name = "trusty"
    layouts = ("trusty",)
    suffix = ".tar.gz"

    def default_name(self, about: About) -> str:
        """Return the palace and the UTC date."""
        return f"{about.palace}-{about.moment:%Y%m%d}{self.suffix}"

    def sibling(self, name: str, digest: str) -> bytes:
        """Return what `sha256sum` writes: the tool itself has no such file."""
        return f"{digest}  {name}\n".encode()

    def write(self, directory: Path, about: About, sink: Sink) -> tuple[str, ...]:
        """Write a palace under its id, the manifest last."""
        notes = Notes()
        palace_id, name = _identity(directory, about, notes)
        top = palace_id.encode() + b"/"
        packed = GzipWriter(sink)
        archive = TarWriter(packed, tarfile.PAX_FORMAT, notes)
        add_item(archive, Item(b"", directory, Kind.DIRECTORY, directory.stat()), top)
        for item in walk(directory):
            tell_attributes(item, notes)
            if item.kind is Kind.SYMLINK and not leads_to_file(item, directory):
                notes.name(
                    "symlinks that lead to no file of the palace are left out: trusty-memory's"
                    " restore would follow them", item.path,
                )  # fmt: skip
                continue
            if item.kind is Kind.SYMLINK:
                notes.name("symlinks, which their restore makes copies of", item.path)
            if item.kind is Kind.FILE and item.status.st_nlink > 1:
                notes.name("files of several names become files of their own", item.path)
            add_item(archive, item, top + item.path)
        manifest = pretty(
            {
                "trusty_memory_version": f"palatine {about.program}",
                "palace_id": palace_id,
                "palace_name": name,
                "backed_up_at": rfc3339(about.moment),
                "drawer_count": _drawers(directory, notes) or 0,
                "schema_version": _SCHEMA,
            }
        )
        seconds = about.time_us // 10**6
        archive.add(plain_member(MANIFEST, len(manifest), 0o644, seconds), [manifest])
        archive.finish()
        packed.finish()
        tell_outside(directory, notes)
        return notes.lines()

    def read(self, source: Path, staging: Path, opener: Opener, skip_verify: bool) -> Found:
        """Unpack all of it, and take the directory that the manifest names."""
        if source.is_dir():
            raise UsageError(
                f"{source} is a directory, and trusty-memory's archives are files",
                f"name one of its {self.suffix} files, or leave out --format for a palace",
            )
        notes = Notes()
        unpacked = staging / "unpacked"
        with opener(source) as members, new_tree(unpacked) as tree:
            manifest = _unpack(members, tree)
        for path in tree.widened:
            notes.name("modes that are kept with other bits, so that they can be read", path)
        if manifest.schema_version > _SCHEMA:
            raise too_new("the archive's schema_version", manifest.schema_version, _SCHEMA)
        palace = unpacked / _checked(manifest.palace_id)
        if palace.is_symlink() or not palace.is_dir():
            raise Malformed(
                f"{source} has no directory of the palace {manifest.palace_id!r}, which its"
                " manifest names"
            )
        for beside in sorted(unpacked.iterdir()):
            if beside != palace:
                notes.name("not taken, because it lies beside the palace", bytes(beside))
        _tell(manifest, palace, notes)
        named = _as_name(manifest.palace_id, notes)
        return Found(
            palace, "trusty", named, time_us=time_of(manifest.backed_up_at),
            message=f"trusty-memory backup of {manifest.backed_up_at}", notes=notes.lines(),
            unverified=("the format has no digests: only its own structure could be checked",),
        )  # fmt: skip


def _identity(directory: Path, about: About, notes: Notes) -> tuple[str, str]:
    """Return the palace's id, which is its directory's name there, and its name."""
    value = read_json(directory / "palace.json")
    own = value if isinstance(value, dict) else {}
    palace_id, name = own.get("id"), own.get("name")
    try:
        palace_id = _checked(palace_id if isinstance(palace_id, str) else about.palace)
    except Malformed:
        notes.say(f"palace.json has the id {palace_id!r}, which cannot be a directory's name")
        palace_id = about.palace
    if isinstance(own.get("data_dir"), str):
        notes.say(
            f"palace.json has the data_dir {own['data_dir']!r}, and trusty-memory opens the palace"
            " there wherever it is restored to, unless with `restore --palace NEW_NAME`"
        )
    is_text = isinstance(name, str) and not any("\ud800" <= one <= "\udfff" for one in name)
    return palace_id, str(name) if is_text else palace_id


def _checked(palace_id: str) -> str:
    """Return an id that is one name below a directory; raises Malformed."""
    bad = not palace_id.isprintable() or "/" in palace_id or palace_id in _NO_NAMES
    if bad or len(palace_id.encode("utf-8", "replace")) > FILE_NAME_MAX:
        raise Malformed(f"{palace_id!r} cannot be a palace_id: that is a directory's name")
    return palace_id


def _as_name(palace_id: str, notes: Notes) -> str | None:
    try:
        return check_palace(palace_id)
    except UsageError:
        notes.say(f"its id {palace_id!r} cannot be a palace's name here")
        return None


def _unpack(members: Iterable[Member], tree: NewTree) -> _Manifest:
    manifest: _Manifest | None = None
    for member in members:
        if not member.name:
            continue
        if member.name != MANIFEST:
            tree.put(member, member.name, member.link)
        elif member.kind is not MemberKind.FILE or member.size > MANIFEST_MAX:
            raise Malformed("the archive's manifest.json is no file of a few bytes")
        else:
            data = b"".join(iter(member.read, b""))
            manifest = parsed(data, _Manifest, "the archive's manifest.json")
    if manifest is None:
        raise Malformed(
            "the archive has no manifest.json at its top: trusty-memory did not write it, or it is"
            " not whole",
            "of oxios' service: --format oxios; else unpack it with tar, and snapshot that",
        )
    return manifest


def _drawers(directory: Path, notes: Notes) -> int | None:
    """Return how many drawers there are; the tool itself counts the L1 cache, at most 15."""
    try:
        count = Layout().counts(DirectoryImage(directory)).get("drawers")
    except (SourceError, sqlite3.Error) as error:
        notes.say(f"drawers could not be counted: {error}")
        count = None
    return _cached(directory) if count is None else count


def _cached(directory: Path) -> int | None:
    value = read_json(directory / "l1_cache.json")
    return len(value) if isinstance(value, list) else None


def _tell(manifest: _Manifest, palace: Path, notes: Notes) -> None:
    own = read_json(palace / "palace.json")
    if not isinstance(own, dict):
        notes.say("there is no readable palace.json: trusty-memory would not find the palace")
    elif own.get("id") != manifest.palace_id:
        notes.say(
            f"palace.json has the id {json.dumps(own.get('id'))}, the manifest"
            f" {manifest.palace_id!r}"
        )
    counted, cached = manifest.drawer_count, _cached(palace) or 0
    if counted is not None and counted < cached:  # all, or what is cached: no database is opened
        notes.say(f"the manifest counts {counted} drawers, and {cached} are in the cache alone")
    for wal in sorted(palace.glob("*.db-wal")):
        if wal.stat().st_size:
            notes.say(
                f"{wal.name} is in it: the archive was made of a running service, and what the"
                " WAL holds is taken as SQLite would"
            )
