"""Whom a bundle is encrypted for, and what opens it: recipients, identities, passphrases of age.

No message ever holds a line that may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyrage  # type: ignore[import-untyped]

from palatine.bundle.age import head as agehead
from palatine.errors import UsageError

_MOST_BYTES = 4 << 20
_PUBLIC = "a recipient is public: age1… (age-keygen -y FILE shows it) or a line of an SSH .pub file"
_PRIVATE = "an identity is the private key: a file that age-keygen or ssh-keygen made"
_UNSUPPORTED = {
    "ecdsa-": "age encrypts to ssh-ed25519 and ssh-rsa keys only",
    "sk-": "age encrypts to no SSH key that lives in a token",
    "ssh-dss": "age encrypts to ssh-ed25519 and ssh-rsa keys only",
    "github:": "take the lines of https://github.com/NAME.keys instead",
    "AGE-PLUGIN-": "keys that live in a plugin cannot be used here: age -d decrypts the file",
    "AGE-SECRET-KEY-PQ-": "keys of that kind cannot be used here: age -d decrypts the file",
}


class Passphrase:
    """A passphrase; neither its text nor its length is shown."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        """Raises UsageError if it is empty."""
        if not secret:
            raise UsageError("the passphrase is empty", "an empty one protects nothing")
        self.secret = secret

    def __repr__(self) -> str:
        return "Passphrase(…)"


class Lock(NamedTuple):
    """Whom a file is encrypted for: recipients as pyrage has them, or a passphrase alone."""

    recipients: tuple[object, ...]
    passphrase: Passphrase | None = None


class Keys(NamedTuple):
    """What may open a file: identities as pyrage has them, and a passphrase."""

    identities: tuple[object, ...] = ()
    passphrase: Passphrase | None = None

    def __bool__(self) -> bool:
        return bool(self.identities or self.passphrase)


def lock_of(recipients: Sequence[str], passphrase: Passphrase | None = None) -> Lock | None:
    """Return whom to encrypt for, None if nothing is asked for.

    Each text is a recipient (`age1…`, `age:age1…`, `ssh-ed25519 …`, `ssh-rsa …`) or names a file of
    them, one a line, with comments. Raises UsageError.
    """
    if passphrase is not None:
        if recipients:
            raise UsageError(
                "a passphrase and recipients exclude each other", "age allows one or the other"
            )
        return Lock((), passphrase)
    if not recipients:
        return None
    # Twice the same would only tell a reader that there are more who can read.
    found: dict[str, object] = {}
    for text in recipients:
        found |= _recipients(text.strip())
    # What a header holds for a recipient is shorter than its text and this.
    if sum(len(key) + 100 for key in found) > agehead.MOST - 2000:
        raise UsageError(f"{len(found):,} recipients are more than a file may have")
    return Lock(tuple(found.values()))


def keys_of(identities: Sequence[str], passphrase: Passphrase | None = None) -> Keys:
    """Return the keys in files that age-keygen or ssh-keygen made. Raises UsageError."""
    found: list[object] = []
    for name in identities:
        if _secret(name):
            raise UsageError(
                "a private key on the command line, where every process of this machine sees it",
                "put it into a file and name that; make a new key if others use this machine",
            )
        found.extend(_identities(name))
    return Keys(tuple(found), passphrase)


def _recipients(text: str) -> dict[str, object]:
    """Return the recipients that an argument names."""
    if _secret(text):
        raise UsageError("a private key was given as a recipient", _PUBLIC)
    if text.startswith(("age1", "age:", "ssh-", *_UNSUPPORTED)) and not _is_there(text):
        return dict([_recipient(text, _short(text))])
    if not _is_there(text):
        raise UsageError(f"{_short(text)}: neither a recipient nor a file of recipients", _PUBLIC)
    found = {}
    for number, line in _lines(text, _read(text)):
        if _secret(line):
            raise UsageError(f"{text}: line {number} is a private key, not a recipient", _PUBLIC)
        key, recipient = _recipient(line, f"{text}: line {number}")
        found[key] = recipient
    if not found:
        raise UsageError(f"{text}: the file names no recipient", _PUBLIC)
    return found


def _recipient(line: str, where: str) -> tuple[str, object]:
    """Return one recipient, and what tells it from others."""
    line = line.removeprefix("age:").strip()
    for kind, hint in _UNSUPPORTED.items():
        if line.startswith(kind):
            raise UsageError(f"{where}: a kind of key that cannot be used", hint)
    try:
        if line.startswith("age1"):
            return line, pyrage.x25519.Recipient.from_str(line)
        if line.startswith("ssh-"):
            return " ".join(line.split()[:2]), pyrage.ssh.Recipient.from_str(line)
    except pyrage.RecipientError as error:
        raise UsageError(f"{where}: not a recipient that can be used: {error}", _PUBLIC) from error
    raise UsageError(f"{where}: not a recipient", _PUBLIC)


def _identities(name: str) -> list[object]:
    """Return the private keys in a file."""
    data = _read(name)
    if data.startswith((b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")):
        raise UsageError(
            f"{name}: the identity file is itself encrypted",
            f"decrypt it to a file that only you can read: umask 077; age -d -o KEY {name}",
        )
    if data.lstrip().startswith(b"-----BEGIN"):
        return [_ssh_identity(name, data)]
    found = []
    for number, line in _lines(name, data):
        where = f"{name}: line {number}"
        for kind, hint in _UNSUPPORTED.items():
            if line.startswith(kind):
                raise UsageError(f"{where}: a kind of key that cannot be used", hint)
        if line.startswith(("age1", "ssh-")):
            raise UsageError(f"{where} is a public key, which opens nothing", _PRIVATE)
        if not line.startswith("AGE-SECRET-KEY-1"):
            raise UsageError(f"{where}: not an identity", _PRIVATE)
        try:
            found.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError as error:
            raise UsageError(f"{where}: the private key is damaged: {error}", _PRIVATE) from error
    if not found:
        raise UsageError(f"{name}: the file holds no identity", _PRIVATE)
    return found


def _ssh_identity(name: str, data: bytes) -> object:
    """Return the private key in a file that ssh-keygen made."""
    if b"must be decrypted" in (problem := _ssh_problem(data)) or b"EncryptedPem" in problem:
        raise UsageError(
            f"{name}: the SSH key is protected by a passphrase",
            f"take it off from a copy that only you can read: cp -p {name} KEY;"
            " ssh-keygen -p -N '' -f KEY",
        )
    if problem:
        raise UsageError(f"{name}: not an SSH key that can be used: {problem.decode()}", _PRIVATE)
    return pyrage.ssh.Identity.from_buffer(data)


def _ssh_problem(data: bytes) -> bytes:
    """Return what is wrong with an SSH key; nothing if it can be used."""
    if b"\nProc-Type: 4,ENCRYPTED" in data.replace(b"\r", b""):
        return b"EncryptedPem"
    try:
        pyrage.ssh.Identity.from_buffer(data)
    except pyrage.IdentityError as error:
        return str(error).encode()
    return b""


def _lines(name: str, data: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines of a key file that say something, with their numbers."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: not a text file of keys") from error
    for number, line in enumerate(text.split("\n"), 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield number, line


def _read(name: str) -> bytes:
    """Return what a key file holds. Raises UsageError."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{_short(name)}: {error.strerror}", "name a file of keys") from error
    except ValueError as error:
        raise UsageError("the name of a key file holds a NUL") from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{name}: too large for a file of keys")
    return data


def _is_there(text: str) -> bool:
    """Return whether an argument names a file; an SSH key may be too long to be a name."""
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        return False


def _secret(text: str) -> bool:
    """Return whether a text may hold a private key."""
    upper = text.upper()
    return "SECRET-KEY-" in upper or "PRIVATE KEY-" in upper or "AGE-PLUGIN-" in upper


def _short(text: str) -> str:
    """Return an argument as a message may show it."""
    line = text.split("\n", 1)[0]
    return repr(line if len(line) <= 40 else line[:40] + "…")
