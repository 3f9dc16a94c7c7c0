"""Native bundles made by hand, with Python's tarfile and zstandard: right ones, and hostile ones.

made = Handmade()
made.entries["palace/a.md"].data = b"other"     # both the manifest and the archive say so
made.manifest = lambda manifest: …              # what the manifest says instead
made.archive = lambda members: …                # what the archive holds instead
path.write_bytes(made.bundle())
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from palatine.testing.builders import START_US

MTIME_NS = 1_700_000_000_123_456_789
OWNER = {"uid": 0, "user": "root", "gid": 0, "group": "root"}
Members = list[tuple[tarfile.TarInfo, bytes]]


@dataclass
class Made:
    """An entry: a directory unless it has data, a target or a link."""

    data: bytes | None = None
    target: str = ""
    link: str = ""
    mode: int = 0o755
    holes: list[list[int]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        if self.data is not None or self.link:
            return "file"
        return "symlink" if self.target else "directory"


def usual() -> dict[str, Made]:
    """Return a small palace with one of everything."""
    large = bytes(range(256)) * 100
    return {
        "palace": Made(),
        "palace/a.md": Made(b"a note\n", mode=0o644),
        "palace/d": Made(),
        "palace/d/large.bin": Made(large, mode=0o600),
        "palace/d/more.bin": Made(link="palace/d/large.bin", mode=0o600),
        "palace/empty": Made(),
        "palace/link": Made(target="/etc/passwd", mode=0o777),
        "palace/none": Made(b"", mode=0o644),
        "palace/sparse": Made(large + bytes(70_000) + large, holes=[[25_600, 70_000]], mode=0o644),
    }


class Handmade:
    """A bundle in the making."""

    def __init__(self, entries: dict[str, Made] | None = None) -> None:
        self.entries = usual() if entries is None else entries
        self.manifest: Callable[[dict[str, Any]], None] = lambda manifest: None
        self.manifest_bytes: Callable[[bytes], bytes] = lambda data: data
        self.archive: Callable[[Members], None] = lambda members: None
        self.sums: Callable[[bytes], bytes] = lambda data: data

    def bundle(self, level: int = 1) -> bytes:
        """Return the file's bytes."""
        return zstandard.ZstdCompressor(level, write_checksum=True).compress(self.tar())

    def write(self, directory: Path, name: str = "made.tar.zst") -> Path:
        """Write it and return where."""
        path = directory / name
        path.write_bytes(self.bundle())
        return path

    def tar(self) -> bytes:
        """Return the archive's bytes."""
        manifest = self.manifest_bytes(layout(self.said()))
        members: Members = [(_info("manifest.json", len(manifest)), manifest)]
        lines = [_line("manifest.json", manifest)]
        for path, made in self.entries.items():
            members.append(_member(path, made))
            if made.data is not None:
                lines.append(_line(path, made.data))
        sums = self.sums("".join(lines).encode())
        members.append((_info("SHA256SUMS", len(sums)), sums))
        self.archive(members)
        return tar_of(members)

    def said(self) -> dict[str, Any]:
        """Return the manifest as a value."""
        entries = [_entry(path, made) for path, made in self.entries.items()]
        sizes = [one.get("size", 0) for one in entries if "link" not in one]
        holes = sum(length for one in entries for _, length in one.get("holes", []))
        below = [one for one in entries if one["path"] != "palace"]
        kinds = [one["kind"] for one in below]
        manifest = {
            "palatine_bundle": 1, "digest": "blake3", "snapshot": {
                "id": "00" * 32, "tenant": "default", "palace": "alpha", "time": "",
                "time_us": START_US, "wall_us": START_US, "host": "elsewhere", "user": "somebody",
                "path": "/srv/alpha", "parents": [], "message": "", "layout": "generic",
                "owner": OWNER, "outside": [],
                "stats": {
                    "files": kinds.count("file"), "directories": kinds.count("directory"),
                    "symlinks": kinds.count("symlink"),
                    "size": sum(one.get("size", 0) for one in entries), "added": 0,
                },
                "artifacts": [], "missing": [], "program": "palatine", "tags": [],
            },
            "redacted": None, "size": sum(sizes), "data": sum(sizes) - holes,
            "count": len(entries), "entries": entries,
        }  # fmt: skip
        manifest = copy.deepcopy(manifest)
        self.manifest(manifest)
        return manifest


def layout(manifest: dict[str, Any]) -> bytes:
    """Return a manifest's bytes: a head, a line for each entry, an end."""
    head = {key: value for key, value in manifest.items() if key != "entries"}
    lines = ",\n".join(_json(one) for one in manifest["entries"])
    return f'{_json(head)[:-1]},"entries":[\n{lines}\n]}}\n'.encode("utf-8", "surrogatepass")


def tar_of(members: Members, end: bytes = bytes(1024)) -> bytes:
    """Return an archive of members."""
    out = io.BytesIO()
    for info, data in members:
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        out.write(data + bytes(-len(data) % 512))
    return out.getvalue() + end


def index(members: Members, name: str) -> int:
    """Return where a member of a name is."""
    return next(at for at, (info, _) in enumerate(members) if info.name == name)


def _entry(path: str, made: Made) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "path": path, "kind": made.kind, "mode": f"{made.mode:04o}", "mtime_ns": MTIME_NS
    }  # fmt: skip
    if made.kind == "file":
        entry["size"] = len(made.data or b"")
    if made.holes:
        entry["holes"] = made.holes
    if made.target:
        entry["target"] = made.target
    if made.link:
        entry["link"] = made.link
        entry["size"] = 25_600
    return entry


def _member(path: str, made: Made) -> tuple[tarfile.TarInfo, bytes]:
    info = _info(path, len(made.data or b""))
    info.mode = made.mode
    info.pax_headers = {"mtime": "1700000000.123456789"}
    if made.target:
        info.type, info.linkname = tarfile.SYMTYPE, made.target
    elif made.link:
        info.type, info.linkname = tarfile.LNKTYPE, made.link
    elif made.data is None:
        info.type = tarfile.DIRTYPE
    return info, made.data or b""


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, 1_700_000_000
    return info


def _line(path: str, data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}  {path}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
