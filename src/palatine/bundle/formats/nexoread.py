"""Bundles of nexo, read: verified as far as their manifest goes, and laid out as one directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from palatine import fsio
from palatine.bundle.formats.base import MANIFEST, Found, Notes, Opener
from palatine.bundle.formats.databases import SIDECARS
from palatine.bundle.formats.gitfiles import is_git_directory, make_whole
from palatine.bundle.formats.nexomanifest import (
    KINDS,
    STATES,
    Manifest,
    check_names,
    read_manifest,
    verify,
)
from palatine.bundle.formats.walking import Kind, walk
from palatine.bundle.tar.read import Kind as MemberKind
from palatine.bundle.unpack import new_tree
from palatine.errors import Malformed, PalatineError, PathNotFound, UsageError

_NAMED = re.compile(r".+\.tar\.zst(\.age)?\Z")


def read_bundle(source: Path, staging: Path, opener: Opener, skip_verify: bool) -> Found:
    """Unpack a bundle into `staging`; raises what Format.read raises."""
    notes = Notes()
    path = _newest(source, opener, notes) if source.is_dir() else source
    unpacked = staging / "unpacked"
    digests: dict[str, tuple[int, str]] = {}
    manifest: Manifest | None = None
    with opener(path) as members, new_tree(unpacked) as tree:
        for member in members:
            if member.kind is MemberKind.DIRECTORY:
                tree.directory(member.name)
                continue
            if member.kind is not MemberKind.FILE:
                raise Malformed(f"the bundle holds a {member.kind.value}: nexo writes files only")
            if member.name == MANIFEST:
                manifest = read_manifest(member)
                continue
            if manifest is not None and not member.mtime_ns:
                member.mtime_ns = (manifest.created_at_ms or 0) * 10**6
            name = os.fsdecode(member.name)
            digests[name] = (member.size, tree.put(member, member.name))
    if manifest is None:
        raise Malformed(f"{path} has no manifest.json", "it is no bundle of nexo, or not whole")
    check_names(manifest)
    if not skip_verify:
        verify(manifest, digests)
    palace = _arrange(unpacked, staging / "palace", notes)
    time_us = manifest.created_at_ms * 1000 if manifest.created_at_ms is not None else None
    return Found(
        palace, "nexo", manifest.agent_id, manifest.tenant, time_us,
        manifest.label or f"nexo snapshot ({manifest.created_by})", notes.lines(),
        _unverified(path, skip_verify),
    )  # fmt: skip


def _unverified(path: Path, skip_verify: bool) -> tuple[str, ...]:
    if skip_verify:
        return ("no digest was compared",)
    if not path.with_name(f"{path.name}.sha256").exists():
        return (f"there is no {path.name}.sha256 to compare the bundle with",)
    return ()


def _arrange(unpacked: Path, palace: Path, notes: Notes) -> Path:
    """Make one directory of a bundle's parts."""
    memory = unpacked / "memory_files"
    if memory.is_dir():
        fsio.rename_directory(memory, palace)
    else:
        palace.mkdir(mode=fsio.DIRECTORY_MODE)
    if (unpacked / "git").is_dir():
        if os.path.lexists(palace / ".git"):
            raise Malformed("the bundle holds two things that would be .git")
        fsio.rename_directory(unpacked / "git", palace / ".git")
    for inside in KINDS.values():
        _settle(unpacked / inside, palace / Path(inside).name, notes)
    for inside in STATES.values():
        taken, at_top = unpacked / inside, palace / Path(inside).name
        if (palace / inside).exists() or not _are_equal(taken, at_top):
            _settle(taken, palace / inside, notes)
        else:  # a palace of ours may have its state at the top
            taken.unlink()
    for left in walk(unpacked):
        if left.kind is Kind.FILE:
            notes.name("not taken, for nexo has no place for it", left.path)
    for item in walk(palace):
        if item.kind is Kind.DIRECTORY and is_git_directory(item.place) and make_whole(item.place):
            notes.name("directories that git needs were missing, and have been made in", item.path)
    _tell_lone_sidecars(palace, notes)
    return palace


def _settle(taken: Path, place: Path, notes: Notes) -> None:
    """Have what has a place of its own in bundles stand for the raw copy that came with the files.

    Sidecars of the raw copy go: they would be played into another database.
    """
    if not taken.is_file():
        return
    if place.is_dir() or not (place.parent.is_dir() or not place.parent.exists()):
        raise Malformed(f"the bundle holds both {place.name} and what lies below it")
    if place.exists() and not _are_equal(place, taken):
        notes.say(f"{place.name} also lies among the memory files, raw: the other one was taken")
    for suffix in SIDECARS:
        beside = Path(f"{place}{suffix}")
        if beside.is_file():
            beside.unlink()
            notes.say(f"{beside.name} belonged to the raw copy of {place.name}, and was not taken")
    place.parent.mkdir(exist_ok=True)
    fsio.rename(taken, place)


def _tell_lone_sidecars(palace: Path, notes: Notes) -> None:
    for item in walk(palace):
        for suffix in ("-wal", "-journal"):
            name = item.place.name
            if item.kind is Kind.FILE and name.endswith(suffix) and item.status.st_size:
                database = item.place.with_name(name.removesuffix(suffix))
                if not database.exists():
                    notes.name(
                        "logs without their database (nexo leaves files over 4 MiB out of bundles)",
                        item.path,
                    )


def _are_equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and _digest(one) == _digest(other)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _newest(directory: Path, opener: Opener, notes: Notes) -> Path:
    """Return the bundle of a directory that was made last; raises PathNotFound, UsageError."""
    found: list[tuple[int, Path]] = []
    agents: set[str] = set()
    for path, manifest in _manifests(directory, opener, notes):
        agents.add(f"{manifest.tenant}/{manifest.agent_id}")
        found.append((manifest.created_at_ms or 0, path))
    if not found:
        raise PathNotFound(f"no bundles found in {directory}", "they are called UUID.tar.zst")
    if len(agents) > 1:
        raise UsageError(
            f"{directory} holds bundles of several agents: {', '.join(sorted(agents))}",
            "name one of the bundles",
        )
    _, path = max(found)
    notes.say(f"taken: {path.name}, the newest of {len(found)}")
    return path


def _manifests(directory: Path, opener: Opener, notes: Notes) -> Iterator[tuple[Path, Manifest]]:
    for path in sorted(directory.iterdir()):
        if not _NAMED.match(path.name) or not path.is_file():
            continue
        try:
            yield path, _first_manifest(path, opener)
        except PalatineError as error:
            notes.name(f"passed over, because {error}", bytes(path.relative_to(directory)))


class _Enough(Exception):
    """Ends the reading of an archive at its manifest."""


def _first_manifest(path: Path, opener: Opener) -> Manifest:
    found: list[Manifest] = []
    with contextlib.suppress(_Enough), opener(path) as members:
        for member in members:
            if member.name == MANIFEST:
                found.append(read_manifest(member))
                raise _Enough
    if not found:
        raise Malformed("it has no manifest.json")
    return found[0]
