"""oxios: a copy of the workspace, and a manifest of its sections. It holds no digests.

Their restore copies everything over the live workspace, and leaves what else is there: also a WAL,
which SQLite would play into the database that was put back. So each database of ours has an empty
WAL beside it, which takes the place of a stale one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from palatine import fsio
from palatine.bundle.formats.base import (
    MANIFEST,
    MANIFEST_MAX,
    About,
    Found,
    Notes,
    Opener,
    PathFormat,
    parsed,
    pretty,
    rfc3339,
    time_of,
)
from palatine.bundle.formats.counting import DirectoryImage
from palatine.bundle.formats.databases import is_sqlite
from palatine.bundle.formats.directories import (
    copy_items,
    is_vacant,
    put_in_place,
    scratch_beside,
)
from palatine.bundle.formats.walking import (
    Item,
    Kind,
    leads_to_file,
    tell_outside,
    walk,
)
from palatine.bundle.unpack import new_tree
from palatine.errors import Exists, Malformed, PathNotFound, Refused, SourceError, UsageError
from palatine.layouts.oxios import CATEGORIES
from palatine.layouts.oxios import Oxios as Layout

_VERSION = 1
_NAME = "oxios"
"""What the palace at the usual place is called: a backup does not say."""
_SKIP = "--skip-verify takes the directory as it is"


class _Section(msgspec.Struct):
    name: str
    entry_count: int = 0


class _Manifest(msgspec.Struct):
    version: int
    sections: list[_Section] = []
    created_at: str = ""
    oxios_version: str = ""


class Oxios(PathFormat):
    """Directories of oxios' `backup`."""

    name = "oxios"
    layouts = ("oxios",)
    suffix = ""

    def default_name(self, about: About) -> str:
        """Return the palace and the seconds since 1970."""
        return f"{about.palace}-{about.time_us // 10**6}"

    def check_free(self, target: Path, force: bool) -> None:
        """Raise Exists for what is there, Refused for what is no backup."""
        if is_vacant(target):
            return
        if not force:
            raise Exists(f"{target} is there already", "choose another name, or --force")
        try:
            manifest = parsed((target / "manifest.json").read_bytes(), _Manifest, "manifest.json")
        except (OSError, Malformed):
            manifest = None
        if target.is_symlink() or manifest is None:
            raise Refused(
                f"{target} is no backup of oxios: --force replaces nothing else",
                "choose another name",
            )

    def write(self, directory: Path, about: About, target: Path, force: bool) -> tuple[str, ...]:
        """Copy the workspace beside `target`, with a manifest, and give it its name."""
        notes = Notes()
        target = target.absolute()
        self.check_free(target, force)
        manifest = {
            "version": _VERSION, "created_at": rfc3339(about.moment),
            "oxios_version": f"palatine {about.program}",
            "sections": _sections(directory, notes),
        }  # fmt: skip
        with scratch_beside(target) as scratch:
            made = scratch / "backup"
            items = _writable(directory, notes)
            copy_items(directory, made, items, lambda: _complete(made, manifest))
            put_in_place(made, target)
        tell_outside(directory, notes)
        return notes.lines()

    def read(self, source: Path, staging: Path, opener: Opener, skip_verify: bool) -> Found:
        """Copy a backup's directory without its manifest; or take the workspace of an archive."""
        if not source.is_dir():
            return _read_archive(source, staging, opener)
        notes = Notes()
        manifest = _manifest(source, skip_verify)
        palace = staging / "workspace"
        copy_items(source, palace, (one for one in walk(source, notes) if one.path != MANIFEST))
        unverified = "the format has no digests: only the numbers of entries could be compared"
        if manifest is not None:
            _compare(manifest, palace, notes)
        if next(palace.iterdir(), None) is None:
            raise Malformed(f"{source} holds nothing but a manifest", "it is an empty backup")
        created = manifest.created_at if manifest else ""
        return Found(
            palace, "oxios", _NAME, time_us=time_of(created),
            message=f"oxios backup of {created}" if created else "oxios backup",
            notes=notes.lines(),
            unverified=(unverified if manifest else "it has no manifest: nothing was compared",),
        )  # fmt: skip


def _writable(directory: Path, notes: Notes) -> Iterator[Item]:
    for item in walk(directory):
        if item.path == MANIFEST:
            notes.say("its own manifest.json is left out: the backup has one in that place")
            continue
        if item.kind is Kind.SYMLINK:
            if not leads_to_file(item, directory):
                notes.name("symlinks that lead to no file of the workspace are left out", item.path)
                continue
            notes.name("symlinks, which oxios' restore passes over", item.path)
        yield item


def _complete(made: Path, manifest: dict[str, object]) -> None:
    """Add the manifest, and an empty WAL beside each database."""
    for item in walk(made):
        wal = Path(f"{item.place}-wal")
        if item.kind is Kind.FILE and is_sqlite(item.place) and not wal.exists():
            wal.touch(mode=fsio.FILE_MODE)
            os.utime(wal, ns=(item.status.st_mtime_ns, item.status.st_mtime_ns))
    (made / os.fsdecode(MANIFEST)).write_bytes(pretty(manifest))


def _sections(directory: Path, notes: Notes) -> list[dict[str, object]]:
    """Return what is listed: sections that have entries, and databases with rows.

    oxios refuses a backup without any section, so also its own of a workspace that keeps all in
    SQLite.
    """
    image = DirectoryImage(directory)
    found = _entries(image)
    try:
        counts = Layout().counts(image)
    except SourceError as error:
        notes.say(f"databases could not be counted: {error}")
        counts = {}
    for name in ("memory.db", "tasks.db"):
        if (directory / name).is_file():
            found[name] = counts.get("memories", 0) if name == "memory.db" else 0
    return [{"name": name, "entry_count": count} for name, count in found.items()]


def _entries(image: DirectoryImage) -> dict[str, int]:
    counts = {
        name: sum(path.endswith((b".json", b".md")) for path in image.files(name.encode()))
        for name in CATEGORIES
    }
    return {name: count for name, count in counts.items() if count}


def _manifest(source: Path, skip_verify: bool) -> _Manifest | None:
    path = source / os.fsdecode(MANIFEST)
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MANIFEST_MAX:
        if skip_verify:
            return None
        raise PathNotFound(f"{source} is missing manifest.json", _SKIP)
    manifest = parsed(path.read_bytes(), _Manifest, str(path))
    if manifest.version != _VERSION:
        raise Refused(
            f"{path} has the version {manifest.version}, and only {_VERSION} is supported",
            "restore it with oxios itself, and take a snapshot of that",
        )
    return manifest


def _compare(manifest: _Manifest, palace: Path, notes: Notes) -> None:
    found = _entries(DirectoryImage(palace))
    for section in manifest.sections:
        there = found.get(section.name, 0)
        if section.name in CATEGORIES and section.entry_count > there:
            notes.say(
                f"the manifest counts {section.entry_count} entries in {section.name}, and {there}"
                " are there"
            )
    if not manifest.sections:
        notes.say("the manifest names no section: oxios itself would refuse to restore it")


def _read_archive(source: Path, staging: Path, opener: Opener) -> Found:
    """Take the workspace of what `POST /api/system/backup` writes: it has no manifest."""
    notes = Notes()
    unpacked = staging / "unpacked"
    with opener(source) as members, new_tree(unpacked) as tree:
        for member in members:
            top = member.name.partition(b"/")[0]
            if top == b"workspace":
                tree.put(member, member.name, member.link)
            elif top:
                notes.name("not taken, because it lies beside the workspace", top)
    palace = unpacked / "workspace"
    if not palace.is_dir():
        raise UsageError(f"{source} holds no workspace", "oxios' own backups are directories")
    return Found(
        palace, "oxios", _NAME, message="oxios archive", notes=notes.lines(),
        unverified=("the format has no digests: only its own structure could be checked",),
    )  # fmt: skip
