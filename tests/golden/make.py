"""Write the golden files anew: only for a new format version, never to make a test pass.

python -m tests.golden.make
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from random import Random
from unittest import mock

from tests.golden.values import DIGESTS, ENCODINGS, HERE, PLAIN, RECORD, deltas

import palatine
from palatine.ids import Digest, Kind
from palatine.ops import snapshot as snapshot_op
from palatine.store.repository import Settings
from palatine.testing.builders import FakeClock, State, state_of

STAMP = 1_777_000_000_123_456_789


def facts(state: dict[bytes, State]) -> dict[str, list[object]]:
    """Return what must come back: kind, mode, mtime, digest of the bytes, first name."""
    return {
        path.hex(): [
            one.kind, one.mode, one.mtime_ns, hashlib.sha256(one.data).hexdigest(), one.first.hex(),
        ]
        for path, one in state.items()
    }  # fmt: skip


def fill(palace: Path, version: int) -> None:
    """Write one version of the golden palace."""
    rng = Random("golden palace")
    data = bytearray(rng.randbytes(20_000))
    data[version * 4096 : version * 4096 + 9] = b"version %d" % version
    (palace / "kg.db").write_bytes(data)
    (palace / "sub" / "empty").mkdir(parents=True, exist_ok=True)
    (palace / "note.md").write_bytes(b"# a note\n\nversion %d\n" % version * 3)
    (palace / os.fsdecode(b"\xff\n")).write_bytes(b"a name that is not UTF-8")
    (palace / "nothing").write_bytes(b"")
    for name, target in (("link", "note.md"), ("dangling", "../none")):
        if not (palace / name).is_symlink():
            (palace / name).symlink_to(target)
    with (palace / "sub" / "sparse.bin").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"after a hole")
    if not (palace / "second").exists():
        os.link(palace / "kg.db", palace / "second")
    for directory, names, files in os.walk(palace, topdown=False):
        for name in (*names, *files, "."):
            path = Path(directory) / name
            os.utime(path, ns=(STAMP, STAMP + version), follow_symlinks=False)


def make_repository(digest: str) -> list[dict[str, object]]:
    """Make one golden repository; return what its snapshots hold, oldest first."""
    where = HERE / digest
    shutil.rmtree(where, ignore_errors=True)
    taken: list[dict[str, object]] = []
    clock = FakeClock()
    with tempfile.TemporaryDirectory() as root:
        palace = Path("/tmp/golden/palace")  # is recorded in the snapshots
        shutil.rmtree(palace, ignore_errors=True)
        palace.mkdir(parents=True)
        palatine.init(where, digest)
        with (
            mock.patch.object(snapshot_op, "host", return_value="golden"),
            mock.patch.object(snapshot_op, "user", return_value="agent"),
            palatine.open_repository(
                where, cache=Path(root) / "cache", clock=clock, settings=Settings(workers=1)
            ) as repository,
        ):
            for version in range(3):
                fill(palace, version)
                clock.advance(60)
                done = repository.snapshot(palace, tags=[f"v{version}"], message="golden")
                taken.append({"id": done.stored.id.hex(), "state": facts(state_of(palace))})
    shutil.rmtree(where / "sessions", ignore_errors=True)
    shutil.rmtree(palace.parent)
    return taken


def main() -> None:
    """Write everything."""
    record = {
        "encodings": {name: build().hex() for name, build in ENCODINGS.items()},
        "ids": [
            {
                "plain": data.hex(),
                **{
                    digest: {
                        kind.name.lower(): Digest(digest).object_id(kind, data).hex()
                        for kind in Kind
                    }
                    for digest in DIGESTS
                },
            }
            for data in PLAIN
        ],
        "deltas": {name: base64.b64encode(one).decode() for name, one in deltas().items()},
        "repositories": {digest: make_repository(digest) for digest in DIGESTS},
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
