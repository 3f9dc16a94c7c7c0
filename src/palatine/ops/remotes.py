"""Remotes: names for other repositories, kept per repository in the user's configuration directory.

`remotes.json`, one line for programs: {"palatine": 1, "repositories": {ID: {NAME: REMOTE}}}. A
remote's repository is remembered by its id from its first use on: another one under the same name
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from palatine.errors import Exists, Refused, UsageError
from palatine.ops import defaults

if TYPE_CHECKING:
    from palatine.sync.roles import Identity

_NAME = re.compile(r"(?![.-])[A-Za-z0-9._-]{1,64}\Z")
_VERSION = 1


class Remote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a remote is; the id of its repository, empty before it was first used.

    `pal` is the command that runs palatine on the other host, empty for `pal`.
    """

    url: str
    id: str = ""
    pal: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    palatine: int
    repositories: dict[str, dict[str, Remote]] = msgspec.field(default_factory=dict)


def absolute(remote: Remote) -> Remote:
    """Return a remote whose URL, where that is a path, means the same from every directory."""
    if "://" in remote.url:
        return remote
    return msgspec.structs.replace(remote, url=str(defaults.absolute(remote.url)))


@dataclass(frozen=True)
class Named:
    """A remote as it was asked for: by its name, or (then `name` is empty) by its URL."""

    name: str
    remote: Remote

    @property
    def shown(self) -> str:
        """What people called it."""
        return self.name or self.remote.url


class Remotes:
    """The remotes of one repository."""

    def __init__(self, file: Path, repository_id: str) -> None:
        self._file = file
        self._id = repository_id

    def all(self) -> dict[str, Remote]:
        """Return every remote by its name; raises UsageError for a file that cannot be read."""
        return dict(sorted(self._read().repositories.get(self._id, {}).items()))

    def add(self, name: str, remote: Remote) -> None:
        """Add a remote; raises Exists, UsageError for a bad name."""
        if not _NAME.match(name):
            raise UsageError(
                f"{name!r} is not a remote's name", "use 1 to 64 letters, digits, '.', '_' or '-'"
            )
        with self._changing() as own:
            if name in own:
                raise Exists(f"there is a remote {name!r} already", f"pal remote remove {name}")
            own[name] = absolute(remote)

    def remove(self, name: str) -> None:
        """Remove a remote; its repository is not touched. Raises UsageError."""
        with self._changing() as own:
            if name not in own:
                raise UsageError(f"there is no remote {name!r}", "pal remote lists them")
            del own[name]

    def find(self, text: str | None) -> Named:
        """Return a remote by name or URL; without either the only one, or `origin`.

        Raises UsageError.
        """
        known = self.all()
        if text is None:
            name = next(iter(known), "") if len(known) == 1 else "origin"
            if name not in known:
                what = "there is no remote" if not known else "there are several remotes"
                raise UsageError(what, "pal remote add NAME URL, or name one of: pal remote")
            return Named(name, known[name])
        if text in known:
            return Named(text, known[text])
        if "/" in text or text in (".", "..", "~"):
            return Named("", absolute(Remote(text)))
        raise UsageError(
            f"there is no remote {text!r}", f"pal remote add {text} URL; a path needs a slash"
        )

    def check(self, named: Named, identity: Identity) -> None:
        """Remember which repository a name stands for; raises Refused when it is another one."""
        _check_same(named.name, named.remote, identity)
        if named.name and not named.remote.id:
            with self._changing() as own:
                now = own.get(named.name)
                if now is not None and now.url == named.remote.url:
                    _check_same(named.name, now, identity)
                    own[named.name] = msgspec.structs.replace(now, id=identity.id)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Remote]]:
        """Give the remotes to change; they are written when the block ends without an error."""
        from palatine import fsio

        fsio.make_directories(self._file.parent)
        with fsio.locked_directory(self._file.parent):
            found = self._read()
            yield found.repositories.setdefault(self._id, {})
            fsio.replace(self._file, msgspec.json.encode(found) + b"\n")

    def _read(self) -> _File:
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return _File(_VERSION)
        try:
            found = msgspec.json.decode(data, type=_File)
        except msgspec.DecodeError as error:
            raise UsageError(
                f"{self._file} cannot be read: {error}", "correct it, or move it away"
            ) from error
        if found.palatine != _VERSION:
            raise UsageError(f"{self._file} was written by a newer palatine", "upgrade palatine")
        return found


def _check_same(name: str, remote: Remote, identity: Identity) -> None:
    if remote.id and remote.id != identity.id:
        raise Refused(
            f"{name} is another repository than it was: {identity.id} instead of {remote.id}",
            f"if that is meant: pal remote remove {name}, then add it again",
        )
