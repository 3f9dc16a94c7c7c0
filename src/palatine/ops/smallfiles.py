"""Mending small files of a repository: snapshot files, forgotten ones, tags, the stored policy.

One byte that changed is found by trying: the id, or the checksum, tells when it is right.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from palatine.codec.seal import seal
from palatine.errors import Damaged, FormatTooNew, Malformed, NotFound
from palatine.ids import ID_SIZE, Digest, Kind
from palatine.model.policy import Policy, decode_policy, encode_policy
from palatine.model.snapshot import MAGIC, VOID
from palatine.ops import policy
from palatine.ops.findings import Findings
from palatine.store.aside import set_aside
from palatine.store.forgotten import FORGOTTEN
from palatine.store.repository import Repository
from palatine.store.snapshots import SNAPSHOTS, Stored, decode_stored

_LONGEST = 4096
"""Bytes of files in which a wrong byte is looked for: 255 digests for each take 3 s."""


@dataclass
class Small:
    """What became of small files. `snapshots` are those that are mended, or would be."""

    mended: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    snapshots: list[Stored] = field(default_factory=list)


def mend(repository: Repository, found: Findings, dry_run: bool) -> Small:
    """Mend what can be mended, and set the rest aside. Raises FormatTooNew."""
    small = Small()
    known = repository.catalog.snapshot_files()
    for name in found.snapshots:
        _snapshot(repository, name, known.get(name), small, dry_run)
    for name in found.forgotten:
        _snapshot(repository, name, None, small, dry_run)
    for name in found.policy:
        _policy(repository, name, small, dry_run)
    if not dry_run:
        small.set_aside += aside(repository, found.tags)
        repository.backend.delete_all(found.tags)
    return small


def aside(repository: Repository, names: Iterable[str]) -> list[str]:
    """Keep copies of files under `damaged/`; return their names there."""
    kept = (set_aside(repository, name) for name in names)
    return [name for name in kept if name is not None]


def _snapshot(
    repository: Repository, name: str, copy: bytes | None, small: Small, dry_run: bool
) -> None:
    """Mend a snapshot's file, here or under `forgotten/`, or set it aside."""
    backend = repository.backend
    try:
        data = backend.get(name)
    except NotFound:
        return
    official = SNAPSHOTS + name.partition("/")[2]
    good, stored = _good(repository, official, _versions(repository, official, data, copy))
    if good is None and data[7:8] > MAGIC[7:] and data[:7] == MAGIC[:7]:
        raise FormatTooNew(f"{name} was written by a newer palatine", "upgrade palatine")
    if good is None and len(data) == len(VOID):
        good = seal(VOID)  # a key that was closed to a writer stays closed
    if not dry_run:
        small.set_aside += aside(repository, [name])
    if good is None:
        if name.startswith(FORGOTTEN):
            small.gone.append(f"{name}: the forgotten snapshot in it cannot be brought back")
        else:
            small.gone.append(f"{name}: the snapshot in it is lost, with all its files")
        if not dry_run:
            backend.delete(name)
        return
    small.mended.append(name)
    if stored is not None and not name.startswith(FORGOTTEN):
        small.snapshots.append(stored)
    if not dry_run:
        backend.put(name, good)


def _good(
    repository: Repository, name: str, versions: Iterable[bytes]
) -> tuple[bytes | None, Stored | None]:
    for data in versions:
        try:
            stored = decode_stored(name, data, repository.digest)
        except (Damaged, FormatTooNew):
            continue
        if stored is not None:
            return data, stored
    return None, None


def _versions(
    repository: Repository, name: str, data: bytes, copy: bytes | None
) -> Iterator[bytes]:
    """Yield what a snapshot file may have been: copies of it, and its bytes with one changed."""
    if copy is not None:
        yield copy
    with contextlib.suppress(NotFound):
        yield repository.backend.get(FORGOTTEN + name.removeprefix(SNAPSHOTS))
    head = len(MAGIC) + ID_SIZE
    object_id, body = data[len(MAGIC) : head], data[head:]
    yield MAGIC + data[len(MAGIC) :]
    digest = repository.digest.object_id(Kind.SNAPSHOT, body)
    if sum(mine != its for mine, its in zip(digest, object_id, strict=False)) <= 1:
        yield MAGIC + digest + body
    found = one_byte(body, _has_id(repository.digest, object_id))
    if found is not None:
        yield MAGIC + object_id + found


def _has_id(digest: Digest, object_id: bytes) -> Callable[[bytes], bool]:
    return lambda body: digest.object_id(Kind.SNAPSHOT, body) == object_id


def one_byte(data: bytes, is_good: Callable[[bytes], bool]) -> bytes | None:
    """Return `data` with the one byte changed that makes it good, or None."""
    if len(data) > _LONGEST:
        return None
    tried = bytearray(data)
    for at, right in enumerate(data):
        for value in range(256):
            tried[at] = value
            if value != right and is_good(bytes(tried)):
                return bytes(tried)
        tried[at] = right
    return None


def _policy(repository: Repository, name: str, small: Small, dry_run: bool) -> None:
    """Mend the stored policy, or put an empty one in its place: that forgets nothing.

    The rules before it are not put in force again: they may forget what it kept.
    """
    try:
        data = repository.backend.get(name)
    except NotFound:
        return
    good = one_byte(data, lambda tried: _is_policy(tried, name))
    if good is None:
        small.gone.append(
            f"{name}: the stored rules are lost; nothing is forgotten until pal policy sets some"
        )
    else:
        small.mended.append(name)
    if dry_run:
        return
    small.set_aside += aside(repository, [name])
    if good is not None:
        repository.backend.put(name, good)
        return
    number = policy.newest_number(repository)
    if repository.backend.create(f"{policy.FOLDER}{number + 1}", encode_policy(Policy())):
        repository.backend.delete(name)


def _is_policy(data: bytes, name: str) -> bool:
    try:
        decode_policy(data, name)
    except (Malformed, FormatTooNew):
        return False
    return True
