"""The configuration file: which palaces there are, and how each is to be kept.

TOML with a strict schema: a key nobody knows is an error, for it is a setting that somebody
believes to be in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from palatine.errors import UsageError
from palatine.model.names import DEFAULT_TENANT, check_palace
from palatine.ops.hooks import HOOK_TIMEOUT, NO_HOOKS, Hooks
from palatine.ops.moments import duration


class _Commands(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", frozen=True):
    """`[palace.hooks]`."""

    before: str | None = None
    after: str | None = None
    on_failure: str | None = None


class _Settings(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", frozen=True):
    """`[defaults]`, and what a palace may say otherwise."""

    tenant: str | None = None
    layout: str | None = None
    exclude: tuple[str, ...] = ()
    hooks: _Commands = _Commands()
    hook_failure: Literal["stop", "go-on"] | None = None
    hook_timeout: str | int | float | None = None
    check: bool | None = None


class _Palace(_Settings, forbid_unknown_fields=True, rename="kebab", frozen=True, kw_only=True):
    """`[[palace]]`."""

    path: str
    name: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", frozen=True):
    defaults: _Settings = _Settings()
    palace: tuple[_Palace, ...] = ()


_KEYS = {
    "[defaults]": _Settings.__struct_encode_fields__,
    "[[palace]]": _Palace.__struct_encode_fields__,
    "hooks": _Commands.__struct_encode_fields__,
}


@dataclass(frozen=True)
class Configured:
    """A palace of the configuration file; `name` and `layout` are empty where it does not say."""

    path: Path
    name: str = ""
    tenant: str = DEFAULT_TENANT
    layout: str = ""
    excludes: tuple[str, ...] = ()
    hooks: Hooks = NO_HOOKS
    check: bool = False


@dataclass(frozen=True)
class Configuration:
    """What a configuration file says."""

    palaces: tuple[Configured, ...] = ()

    def of(self, path: Path) -> Configured | None:
        """Return the palace at a path, whatever way leads there."""
        found = path.resolve()
        return next((one for one in self.palaces if one.path.resolve() == found), None)


def load(file: Path, required: bool) -> Configuration:
    """Read a configuration file; one that need not be there may be missing. Raises UsageError."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        if not required:
            return Configuration()
        raise UsageError(f"there is no configuration file {file}", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"the configuration file {file} cannot be read: {what}") from error
    return parse(text, str(file))


def parse(text: str, file: str) -> Configuration:
    """Return what the text of a configuration file says; raises UsageError with file and line."""
    import tomllib  # not at the top: most commands have no configuration to read

    try:
        found = msgspec.convert(tomllib.loads(text), _File, strict=True)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}", "correct that line") from error
    except msgspec.ValidationError as error:
        raise _explained(str(error), text, file) from error
    palaces = []
    for number, one in enumerate(found.palace):
        try:
            palaces.append(_configured(one, found.defaults))
        except UsageError as error:
            where = _where(text, file, f"$.palace[{number}]")
            raise UsageError(f"{where}: {error}", error.hint) from error
    _check_distinct(palaces, file)
    return Configuration(tuple(palaces))


def _configured(one: _Palace, defaults: _Settings) -> Configured:
    try:
        path = Path(one.path).expanduser()
    except RuntimeError:
        raise UsageError(f"{one.path!r} begins with a user nobody here has") from None
    if not path.is_absolute():
        raise UsageError(
            f"the path {one.path!r} is relative", "begin it with / or ~: there is no directory here"
        )
    return _settings(path, check_palace(one.name) if one.name else "", one, defaults)


def _settings(path: Path, name: str, one: _Settings, defaults: _Settings) -> Configured:
    own, usual = one.hooks, defaults.hooks
    failure = one.hook_failure or defaults.hook_failure or "stop"
    timeout = one.hook_timeout if one.hook_timeout is not None else defaults.hook_timeout
    check = one.check if one.check is not None else defaults.check
    return Configured(
        path,
        name,
        check_palace(one.tenant or defaults.tenant or DEFAULT_TENANT, "tenant name"),
        one.layout or defaults.layout or "",
        (*defaults.exclude, *one.exclude),
        Hooks(
            _first(own.before, usual.before),
            _first(own.after, usual.after),
            _first(own.on_failure, usual.on_failure),
            failure == "stop",
            _seconds(timeout),
        ),
        bool(check),
    )


def _first(own: str | None, usual: str | None) -> str:
    return (usual or "") if own is None else own


def _seconds(timeout: str | int | float | None) -> float:
    seconds = HOOK_TIMEOUT if timeout is None else duration(str(timeout))
    if seconds <= 0:
        raise UsageError("hook-timeout has to be more than nothing")
    return seconds


def _check_distinct(palaces: Sequence[Configured], file: str) -> None:
    for at, one in enumerate(palaces):
        for other in palaces[:at]:
            if one.path.resolve() == other.path.resolve():
                raise UsageError(
                    f"{file}: {one.path} is configured twice", "leave out one [[palace]]"
                )
            if one.name and (one.tenant, one.name) == (other.tenant, other.name):
                raise UsageError(
                    f"{file}: {other.path} and {one.path} are both called {one.name!r}",
                    "give each a name of its own",
                )


def _explained(said: str, text: str, file: str) -> UsageError:
    """Return msgspec's words with the line they are about, and the keys that there are."""
    what, _, path = said.partition(" - at `")
    path = path.rstrip("`") or "$"
    unknown = re.search(r"unknown field `([^`]*)`", what)
    missing = re.search(r"missing required field `([^`]*)`", what)
    table = "[[palace]]" if path.startswith("$.palace") else "[defaults]"
    table = "hooks" if path.endswith(".hooks") else table
    keys = _KEYS[table] if path != "$" else ("defaults", "palace")
    if unknown:
        where = _where(text, file, f"{path}.{unknown[1]}")
        return UsageError(f"{where}: there is no key {unknown[1]!r}", f"keys: {', '.join(keys)}")
    where = _where(text, file, path)
    if missing:
        return UsageError(f"{where}: the key {missing[1]!r} is missing", "add it")
    key = path.rpartition(".")[2]
    hint = 'write "stop" or "go-on"' if key == "hook-failure" else "see docs/configuration.md"
    return UsageError(f"{where}: {key}: {what[:1].lower()}{what[1:]}", hint)


def _where(text: str, file: str, path: str) -> str:
    """Return file and line of a JSON path like `$.palace[1].exclude`, as near as it is found."""
    place = re.match(r"\$\.?(\w+)?(?:\[(\d+)\])?(?:\.(.*))?", path)
    assert place is not None
    table, number, rest = place[1] or "", int(place[2] or 0), place[3] or ""
    key = re.sub(r"\[.*", "", rest).rpartition(".")[2]
    lines = text.splitlines()
    headers = list(_headers(lines, table))
    start = headers[number] if number < len(headers) else 0
    wanted = re.compile(rf"\s*(\[.*)?[\"']?{re.escape(key or table)}[\"']?\s*[=.\]]")
    for at in range(start if key else 0, len(lines)):
        if key and wanted.match(lines[at]):
            return f"{file}, line {at + 1}"
    return f"{file}, line {start + 1}" if headers else file


def _headers(lines: Sequence[str], table: str) -> Iterator[int]:
    for at, line in enumerate(lines):
        if re.match(rf"\s*\[\[?\s*{re.escape(table)}\s*\]", line):
            yield at
