"""ai-memory: one database that `VACUUM INTO` made, and a manifest with its SHA-256 beside it.

Their restore (0.6.4) compares the digest and copies the file over the live database's name. We
write the database with its pages and row numbers as they are, for its full-text index goes by
these, but as one file in rollback mode, as `VACUUM INTO` leaves it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from palatine import fsio
from palatine.bundle.files import sweep
from palatine.bundle.formats.base import (
    About,
    Found,
    Notes,
    Opener,
    PathFormat,
    pretty,
    rfc3339,
    time_of,
)
from palatine.bundle.formats.databases import (
    SIDECARS,
    copy_whole,
    is_sqlite,
    make_single,
    stale_full_text,
    unsound,
)
from palatine.bundle.formats.dated import Manifest, Saved, manifest_of, newest, read_manifest
from palatine.bundle.formats.walking import Kind, tell_attributes, tell_outside, walk
from palatine.errors import Damaged, Exists, Malformed, PathNotFound, Refused, SourceError

_DATABASE = "ai-memory.db"
_SKIP = "--skip-verify takes it as it is"
_READ = 1 << 20
_NOT_ITS_FAULT = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


class AiMemory(PathFormat):
    """Snapshots of ai-memory's `backup`: a database, and its manifest."""

    name = "ai-memory"
    layouts = ("ai-memory",)
    suffix = ".db"

    def default_name(self, about: About) -> str:
        """Return the tool's name with the time: what its restore finds in a directory."""
        return f"ai-memory-{about.moment:%Y-%m-%dT%H%M%SZ}{self.suffix}"

    def check_free(self, target: Path, force: bool) -> None:
        """Raise Exists for either file, Refused beside a WAL."""
        for suffix in SIDECARS:
            if os.path.lexists(f"{target}{suffix}"):
                raise Refused(
                    f"{target}{suffix} is there: SQLite would play it into what is written, and it"
                    " may belong to a database in use",
                    "choose another name, or move both away",
                )
        for path in (target, manifest_of(target)):
            if path.is_dir() or (os.path.lexists(path) and not force):
                raise Exists(f"{path} is there already", "choose another name, or --force")

    def write(self, directory: Path, about: About, target: Path, force: bool) -> tuple[str, ...]:
        """Write the database to `target`, and then its manifest beside it."""
        notes = Notes()
        source = directory / _DATABASE if directory.is_dir() else directory
        if source.is_symlink() or not source.is_file():
            raise SourceError(
                f"there is no {_DATABASE} in what is to be exported",
                "leave out --format: a native bundle holds every palace",
            )
        target = target.absolute()
        self.check_free(target, force)
        with tempfile.TemporaryDirectory(prefix="palatine-") as scratch:
            copy = Path(scratch) / _DATABASE
            copy_whole(source, copy)
            _settle(copy, notes)
            fsio.make_directories(target.parent)
            sweep(target.parent)
            size, digest = _put(copy, target)
        manifest = {
            "snapshot": target.name, "sha256": digest, "bytes": size,
            "source_db": _origin(about), "version": f"palatine {about.program}",
            "created_at": rfc3339(about.moment),
        }  # fmt: skip
        fsio.replace(manifest_of(target), pretty(manifest) + b"\n")
        if directory.is_dir():
            for item in walk(directory):
                if item.path != os.fsencode(_DATABASE):
                    top = item.kind is Kind.DIRECTORY
                    notes.name("left out, for the format holds the database alone",
                               item.path + b"/" if top else item.path)  # fmt: skip
                else:
                    tell_attributes(item, notes)
        tell_outside(directory, notes)
        return notes.lines()

    def read(self, source: Path, staging: Path, opener: Opener, skip_verify: bool) -> Found:
        """Copy a database (of a directory: the newest) that is what its manifest says."""
        notes = Notes()
        saved = newest(source, skip_verify, notes) if source.is_dir() else Saved(source)
        if not saved.path.is_file():
            raise PathNotFound(f"snapshot {saved.path} does not exist")
        manifest = _manifest(saved.path, skip_verify, notes)
        database = staging / _DATABASE
        size, digest = _copy_hashed(saved.path, database)
        verified = manifest is not None and _check(manifest, saved.path, size, digest, skip_verify)
        if not size:
            raise Malformed(f"{saved.path} is empty: the backup failed", "take another snapshot")
        _sidecars(saved.path, database, verified, notes)
        if not is_sqlite(database):
            notes.say("it does not begin as SQLite's databases do: it is encrypted, or none")
        elif not any(Path(f"{database}{one}").exists() for one in SIDECARS):
            _tell_full_text(database, notes)
        created = manifest.created_at if manifest else ""
        return Found(
            database, "ai-memory", "ai-memory", time_us=time_of(created) or saved.time_us,
            message=f"ai-memory backup of {manifest.source_db}" if manifest else "ai-memory backup",
            notes=notes.lines(),
            unverified=() if verified else ("its bytes were not compared with a SHA-256",),
        )  # fmt: skip


def _settle(copy: Path, notes: Notes) -> None:
    """Make it one file whose full-text index is right, as far as it can be opened."""
    if not is_sqlite(copy):
        notes.say("the database is encrypted, or none: it is written as it is, unchecked")
        return
    try:
        make_single(copy)
        if wrong := unsound(copy):
            notes.say(f"the database is damaged, in the snapshot too: {wrong}")
        for name in stale_full_text(copy, rebuild=True):
            notes.say(f"the full-text index {name} did not match its table, and was rebuilt")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_ITS_FAULT:
            raise SourceError(
                f"the database cannot be prepared in {copy.parent}: {error}"
            ) from error
        notes.say(f"the database is damaged, and written as far as it is there: {error}")


def _put(copy: Path, target: Path) -> tuple[int, str]:
    """Name the finished file; an old manifest goes first, so that it never stands for another."""
    digest = hashlib.sha256()
    with copy.open("rb") as file, fsio.NewFile(target.parent) as out:
        while data := file.read(_READ):
            digest.update(data)
            out.write(data)
        fsio.remove(manifest_of(target))
        out.rename(target)
    return out.size, digest.hexdigest()


def _origin(about: About) -> str:
    path = os.fsdecode(about.path).encode("utf-8", "replace").decode()
    if path.endswith(".db") or not path:
        return path or _DATABASE
    return f"{path}/{_DATABASE}"


def _manifest(path: Path, skip_verify: bool, notes: Notes) -> Manifest | None:
    beside = manifest_of(path)
    try:
        manifest = read_manifest(beside)
    except Malformed as error:
        if not skip_verify:
            raise Malformed(f"parsing manifest {beside}: {error}", _SKIP) from None
        notes.say(f"its manifest cannot be read: {error}")
        return None
    if manifest is None:
        if not skip_verify:
            raise PathNotFound(f"manifest {beside} not found", _SKIP)
        notes.say("it has no manifest")
    elif manifest.snapshot and manifest.snapshot != path.name:
        notes.say(f"its manifest was written for {manifest.snapshot}")
    return manifest


def _check(manifest: Manifest, path: Path, size: int, digest: str, skip_verify: bool) -> bool:
    """Return whether it is what the manifest says; raises Damaged unless that may be skipped."""
    if manifest.sha256.lower() == digest and manifest.bytes in (None, size):
        return True
    if skip_verify:
        return False
    if manifest.sha256.lower() == digest:
        raise Damaged(f"{path} has {size} bytes, its manifest says {manifest.bytes}", _SKIP)
    raise Damaged(
        f"sha256 mismatch: the manifest says {manifest.sha256}, {path} is {digest}", _SKIP
    )


def _copy_hashed(source: Path, target: Path) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with source.open("rb") as file, target.open("xb") as out:
        while data := file.read(_READ):
            size += len(data)
            digest.update(data)
            out.write(data)
    return size, digest.hexdigest()


def _sidecars(source: Path, database: Path, verified: bool, notes: Notes) -> None:
    """Take what stands beside a raw copy and belongs to it.

    A digest stands for the main file alone, and a WAL for a file whose header says WAL: one beside
    what `VACUUM INTO` made belongs to another database.
    """
    with database.open("rb") as file:
        is_wal = file.read(20)[18:] == b"\2\2"
    for suffix in ("-wal", "-journal"):
        beside = Path(f"{source}{suffix}")
        if beside.is_symlink() or not beside.is_file() or not beside.stat().st_size:
            continue
        if verified or is_wal != (suffix == "-wal"):
            notes.say(f"{beside.name} beside it came later or is another's, and was not taken")
        else:
            shutil.copyfile(beside, f"{database}{suffix}")
            notes.say(f"{beside.name} beside it was taken too, as SQLite would")


def _tell_full_text(database: Path, notes: Notes) -> None:
    try:
        for name in stale_full_text(database, rebuild=False):
            notes.say(
                f"the full-text index {name} does not match its table; once restored, rebuild it:"
                f" INSERT INTO {name}({name}) VALUES('rebuild')"
            )
    except sqlite3.Error as error:
        notes.say(f"its full-text index could not be checked: {error}")
