"""Secrets to plant, and the search for them in every byte of what came out."""

from __future__ import annotations

import contextlib
import gzip
import os
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import zstandard

from palatine.redact.report import Report
from palatine.redact.tree import Options, redact_tree

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
KINDS = {
    "anthropic-api-key": ("sk-" + "ant-", 48, ""),
    "openai-api-key": ("sk-", 32, ""),
    "github-token": ("gh" + "p_", 36, ""),
    "slack-token": ("xox" + "b-", 24, ""),
    "age-secret-key": ("AGE-SECRET-" + "KEY-1", 58, "upper"),
    "gitlab-token": ("gl" + "pat-", 20, ""),
    "stripe-access-key": ("sk_" + "live_", 24, ""),
}


def secret(rng: Random, kind: str | None = None) -> str:
    """Return a made-up secret."""
    prefix, length, case = KINDS[kind or rng.choice(sorted(KINDS))]
    body = "".join(rng.choices(LETTERS, k=length))
    return prefix + (body.upper() if case else body)


def redacted(
    directory: Path, scratch: Path, *rules: str, keep: bool = False, dry_run: bool = False
) -> Report:
    """Redact a directory, and look that nothing is left in the scratch directory."""
    scratch.mkdir(exist_ok=True)
    report = redact_tree(directory, Options(rules, keep, dry_run), scratch)
    assert list(scratch.iterdir()) == []
    return report


def hits(top: Path, secrets: Iterable[str]) -> list[str]:
    """Return where secrets are found: in names, bytes, rows, packed files and git's objects."""
    wanted = [(one, form) for one in secrets for form in _forms(one)]
    return [
        f"{where}: {one}"
        for where, everything in _everything(top)
        for data in [everything.replace(bytes(4096), b"")]  # holes
        for one, form in wanted
        if form in data
    ]


def _forms(text: str) -> list[bytes]:
    return [text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")]


def _everything(top: Path) -> Iterator[tuple[str, bytes]]:
    for root, directories, files in os.walk(os.fsencode(top)):
        if os.path.basename(root) == b".git" or (b"HEAD" in files and b"objects" in directories):
            yield from _git_objects(root)
        for name in (*directories, *files):
            path = root + b"/" + name
            yield os.fsdecode(path), name
            for attribute in os.listxattr(path, follow_symlinks=False):
                value = os.getxattr(path, attribute, follow_symlinks=False)
                yield f"{os.fsdecode(path)}@", attribute.encode() + b"=" + value
            if os.path.islink(path):
                yield os.fsdecode(path), os.readlink(path)
        for name in files:
            path = root + b"/" + name
            if not os.path.islink(path):
                yield from _contents(os.fsdecode(path), Path(os.fsdecode(path)).read_bytes())


def _contents(where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield where, data
    if data.startswith(b"SQLite format 3\0"):
        yield from ((f"{where}!", one) for one in _rows(where))
    elif (plain := _unpacked(data)) is not None:
        yield f"{where}>", plain


def _unpacked(data: bytes) -> bytes | None:
    with contextlib.suppress(zstandard.ZstdError, OSError, EOFError):
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
    return None


def _rows(path: str) -> Iterator[bytes]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        db.text_factory = bytes
        names = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in [*names, (b"sqlite_schema",)]:
            with contextlib.suppress(sqlite3.OperationalError):  # a module that is not here
                for row in db.execute(f'SELECT * FROM "{name.decode()}"'):
                    for value in row:
                        if isinstance(value, bytes):
                            yield value
                            yield _unpacked(value) or b""


def _git_objects(directory: bytes) -> Iterator[tuple[str, bytes]]:
    command = [b"git", b"--git-dir", directory, b"cat-file", b"--batch-all-objects", b"--batch"]
    done = subprocess.run(command, capture_output=True, check=True)
    yield f"objects of {os.fsdecode(directory)}", done.stdout
