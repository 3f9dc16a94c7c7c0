"""nexo: a tar of regular files, in zstd, its manifest first and sealed; a digest beside it.

Their restore (0.1.0) puts `memory_files/` and `git/` into the agent's memdir, which it sets aside
and makes anew, and `sqlite/` into a directory that is the same one unless told otherwise; `state/`
it hands to a provider. A palace of ours is one directory. So `memory_files/` and `git/` hold all of
it, with the runtime's own `memory.db` and `compactions.db` under their names, and what has a place
of its own in a bundle stands there besides: whatever the directories are, all comes back.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from palatine.bundle.formats.base import (
    MANIFEST,
    About,
    Found,
    Notes,
    Opener,
    Sink,
    StreamFormat,
    pretty,
)
from palatine.bundle.formats.gitfiles import NO_HEAD, is_git_directory, needed_files, read_head
from palatine.bundle.formats.nexomanifest import KINDS, STATES
from palatine.bundle.formats.nexoread import read_bundle
from palatine.bundle.formats.taring import TarWriter, plain_member
from palatine.bundle.formats.walking import (
    Item,
    Kind,
    contents,
    is_empty,
    tell_attributes,
    tell_outside,
    walk,
)
from palatine.bundle.zstd.write import ZstdWriter
from palatine.layouts.nexo import Nexo as Layout

LEVEL = 9
_GIT = b".git/"
_SCHEMAS = {"long_term": 1, "vector": 1, "concepts": 1, "compactions": 1, "manifest": 1}
_FINGERPRINT = 8
_LABEL_MAX = 200
_FOREIGN = re.compile(r"[^a-z0-9_-]+")


class _Planned(NamedTuple):
    """One entry: its name there, its kind, and the file it comes from, or its bytes."""

    name: str
    kind: str
    data: Item | bytes

    def read(self) -> Iterable[bytes]:
        return (self.data,) if isinstance(self.data, bytes) else contents(self.data)


class _Artifact(msgspec.Struct):
    path_in_bundle: str
    kind: str
    size_bytes: int
    sha256: str


class Nexo(StreamFormat):
    """Bundles of nexo's memory snapshots (`nexo-memory-snapshot-v1`)."""

    name = "nexo"
    layouts = ("nexo", "generic")
    suffix = ".tar.zst"

    def default_name(self, about: About) -> str:
        """Return the snapshot's uuid, which the tool looks it up by; the same for the same one."""
        return f"{_uuid(about)}{self.suffix}"

    def sibling(self, name: str, digest: str) -> bytes:
        """Return the digest alone: the tool reads nothing else."""
        return digest.encode()

    def write(self, directory: Path, about: About, sink: Sink) -> tuple[str, ...]:
        """Write a bundle, without encryption: that comes around it."""
        notes = Notes()
        notes.say("the format holds neither modes nor owners nor times")
        planned = list(_plan(directory, notes))
        artifacts = [_described(one) for one in planned]
        data = pretty(_manifest(directory, about, artifacts, notes))
        with ZstdWriter(sink, LEVEL) as packed:
            archive = TarWriter(packed, tarfile.GNU_FORMAT, notes)
            archive.add(plain_member(MANIFEST, len(data), 0o600), [data])
            for one, artifact in zip(planned, artifacts, strict=True):
                info = plain_member(one.name.encode(), artifact.size_bytes, 0o600)
                archive.add(info, one.read())
            archive.finish()
        tell_outside(directory, notes)
        return notes.lines()

    def read(self, source: Path, staging: Path, opener: Opener, skip_verify: bool) -> Found:
        """Unpack a bundle (of a directory: the newest), as one directory."""
        return read_bundle(source, staging, opener, skip_verify)


def _plan(directory: Path, notes: Notes) -> Iterator[_Planned]:
    """Yield what goes into the bundle, in the tool's order."""
    items: list[Item] = []
    needed: list[tuple[bytes, bytes]] = []
    for item in _held(directory, notes):
        if item.kind is Kind.FILE:
            items.append(item)
        elif is_git_directory(item.place):
            more = needed_files(item.place).items()
            needed += [(item.path + b"/" + path, data) for path, data in more if _is_text(path)]
    files = {item.path: item for item in items}
    for kind, path in KINDS.items():
        found = files.get(path.rpartition("/")[2].encode())
        if found is not None:
            yield _Planned(path, kind, found)
    for kind, path in STATES.items():
        found = files.get(path.encode()) or files.get(path.partition("/")[2].encode())
        if found is not None:
            yield _Planned(path, kind, found)
    everything: list[tuple[bytes, Item | bytes]] = [(item.path, item) for item in items]
    everything += needed
    for of_git in (False, True):
        for inner, data in everything:
            if inner.startswith(_GIT) is of_git:
                kind = "git_bundle" if of_git else "memory_file"
                yield _Planned(_named(inner), kind, data)


def _named(path: bytes) -> str:
    """Return where in a bundle a file of the palace stands."""
    if path.startswith(_GIT):
        return f"git/{path.removeprefix(_GIT).decode()}"
    return f"memory_files/{path.decode()}"


def _held(directory: Path, notes: Notes) -> Iterator[Item]:
    """Yield the files that the format can hold, and directories; note what else there is."""
    for item in walk(directory):
        tell_attributes(item, notes)
        if not _is_text(item.path):
            notes.name("left out, for their names are not UTF-8", item.path)
        elif item.kind is Kind.SYMLINK:
            notes.name("symlinks are left out", item.path)
        elif item.kind is Kind.DIRECTORY:
            if is_empty(item.place):
                notes.name("empty directories are left out", item.path)
            yield item
        else:
            if item.status.st_mode & 0o111:
                notes.name("files that are executable no longer are", item.path)
            if item.path in (b"memory.db", b"compactions.db", b"dream_runs.db"):
                notes.name(
                    "databases that nexo restores into the agent's memdir, while its runtime reads"
                    " them in its data directory: move them there", item.path,
                )  # fmt: skip
            yield item


def _described(one: _Planned) -> _Artifact:
    digest, size = hashlib.sha256(), 0
    for data in one.read():
        digest.update(data)
        size += len(data)
    return _Artifact(one.name, one.kind, size, digest.hexdigest())


def _manifest(
    directory: Path, about: About, artifacts: list[_Artifact], notes: Notes
) -> dict[str, object]:
    git = directory / ".git"
    head = read_head(git) if any(one.kind == "git_bundle" for one in artifacts) else NO_HEAD
    label = _text((about.label or about.message)[:_LABEL_MAX])
    seal = hashlib.sha256("".join(one.sha256 for one in artifacts).encode())
    manifest: dict[str, object | None] = {
        "manifest_version": 1,
        "bundle_format": "nexo-memory-snapshot-v1",
        "snapshot_id": _uuid(about),
        "agent_id": _name(about.palace, "agent", notes),
        "tenant": _name(about.tenant, "tenant", notes),
        "label": label or None,
        "created_at_ms": about.time_us // 1000,
        "created_by": "cli",
        "schema_versions": _SCHEMAS,
        "git": {
            "head_oid": head.oid, "head_subject": _text(head.subject),
            "head_author": _text(head.author), "head_ts_ms": head.time_ms,
        },
        "artifacts": artifacts,
        "redactions": about.redaction and {
            "policy": about.redaction.policy,
            "rules_applied": about.redaction.rules,
            "matches_redacted": about.redaction.matches,
            "artifacts_touched": [_text(one) for one in about.redaction.artifacts],
        },
        "encryption": about.recipients and {
            "scheme": "age",
            "recipients_fingerprint": [one[-_FINGERPRINT:] for one in about.recipients],
        },
        "tool_versions": {
            "nexo_version": f"palatine {about.program}", "git2": "none", "sqlx": "none"
        },
        "bundle_sha256": seal.hexdigest(),
    }  # fmt: skip
    return {key: value for key, value in manifest.items() if value not in (None, ())}


def _uuid(about: About) -> str:
    """Return an id that looks random, and is the same for the same snapshot."""
    made = hashlib.sha256(bytes.fromhex(about.snapshot)).digest()
    return str(uuid.UUID(bytes=made[:16], version=4))


def _name(name: str, what: str, notes: Notes) -> str:
    """Return a name that nexo takes for an agent, or a tenant."""
    if Layout().against_name(name) is None:
        return name
    made = _FOREIGN.sub("-", name.lower())[:64].strip("-_") or what
    notes.say(f"nexo takes no {what} called {name!r}: the bundle is of the {what} {made!r}")
    return made


def _is_text(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(text: str) -> str:
    """Return text that can stand in JSON."""
    return text.encode("utf-8", "backslashreplace").decode()
