"""Bundles as the world's own programs see them: GNU tar, zstd, sha256sum."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.support import Place

import palatine
from palatine.ops.export import Exported
from palatine.store.repository import Settings


def exported(place: Place, name: str = "out.tar.zst", threads: int = 2, **how: Any) -> Exported:
    """Export the palace's newest snapshot to a file in the place."""
    with palatine.open_repository(
        place.repository, cache=place.cache, reporter=place.notices,
        settings=Settings(workers=threads),
    ) as repository:  # fmt: skip
        return repository.export("palace", place.root / name, **how)


def plain(bundle: Path) -> bytes:
    """Return what zstd makes of a file."""
    return subprocess.run(["zstd", "-dc", bundle], capture_output=True, check=True).stdout


def listing(bundle: Path) -> list[str]:
    """Return the names in an archive, as GNU tar quotes them."""
    done = subprocess.run(["tar", "--zstd", "-tf", bundle], capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def unpacked(bundle: Path, into: Path) -> Path:
    """Have GNU tar unpack a bundle into a new directory; sha256sum must find everything whole."""
    into.mkdir()
    # it finds times before 1970 implausible
    tar = "tar --zstd -xp --xattrs --xattrs-include=* --warning=no-timestamp -C".split()
    done = subprocess.run([*tar, into, "-f", bundle], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    check_sums(into, "SHA256SUMS")
    return into


def check_sums(directory: Path, sums: str) -> None:
    """Have sha256sum check a file of sums, in strict mode."""
    command = ["sha256sum", "--strict", "--quiet", "-c", sums]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def manifest(directory: Path) -> Any:
    """Return the manifest of an unpacked bundle, read by the standard library's parser."""
    return json.loads((directory / "manifest.json").read_bytes())


def files_below(top: Path) -> list[bytes]:
    """Return the paths of all regular files, from `top`."""
    root = os.fsencode(top)
    return [
        os.path.relpath(os.path.join(at, name), root)
        for at, _, names in os.walk(root)
        for name in names
        if not os.path.islink(os.path.join(at, name))
    ]
