"""gc of a repository of a million objects stays within 150 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import TORTURE, count

DIRECTORIES, FILES = count(10, 500), count(200, 2000)

GENERATE = """
import sys
from pathlib import Path
import palatine
from palatine.ids import Kind
from palatine.model.encoding import encode
from palatine.model.snapshot import Snapshot, Stats, encode_snapshot_file
from palatine.model.tree import Entry, EntryKind, Owner, Part, Piece
where, cache = Path(sys.argv[1]), sys.argv[2]
directories, files = int(sys.argv[3]), int(sys.argv[4])
palatine.init(where)
owner = Owner(0, "", 0, "")
def directory(name, tree):
    return Entry(name, EntryKind.DIRECTORY, 0o700, 0, 0, parts=(Part(tree, 0),))
def entry(name, part):
    return Entry(name, EntryKind.FILE, 0o600, 0, 0, size=part.size, parts=(part,))
with palatine.open_repository(where, cache=cache) as opened:
    store = opened.store
    for which in range(2):
        with store.writing("default", "big", 10**15 + which) as (session, writer):
            dirs = []
            for number in range(directories):
                if which and number % 3 == 0:
                    continue  # only the first snapshot has it
                entries = []
                for file in range(files):
                    data = b"%d/%d" % (number, file)
                    chunk = writer.put(Kind.CHUNK, data)
                    entries.append(entry(b"%06d" % file, Part(chunk, len(data))))
                tree = writer.put(Kind.TREE, encode(Piece((owner,), (), tuple(entries))))
                dirs.append(directory(b"%06d" % number, tree))
            root = writer.put(Kind.TREE, encode(Piece((owner,), (), tuple(dirs))))
            writer.flush()
            made = Snapshot(
                tenant="default", palace="big", time_us=10**15 + which, wall_us=10**15, host="h",
                user="u", path=b"/big", parents=(), message="", layout="generic", owner=owner,
                root=directory(b"", root), outside=(), stats=Stats(0, 0, 0, 0, 0), artifacts=(),
                missing=(), program="test",
            )
            session.commit(encode_snapshot_file(made, store.digest)[1])
    opened.forget(opened.log()[-1].id.hex())
"""

COLLECT = """
import json, re, sys
from pathlib import Path
import palatine
from palatine.ops.gc import Options
with palatine.open_repository(sys.argv[1], cache=sys.argv[2]) as opened:
    done = opened.gc(Options(max_unused=0))
# not ru_maxrss: that counts the process that forked this one
status = Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
print(json.dumps([peak, done.plan.objects, done.freed, done.renewed + done.copied]))
"""


@pytest.mark.torture
@pytest.mark.parametrize("cache", ["warm", "cold"])
def test_memory_does_not_grow_with_the_repository(tmp_path: Path, cache: str) -> None:
    where, warm = tmp_path / "repository", tmp_path / "warm"
    size = [str(DIRECTORIES), str(FILES)]
    subprocess.run([sys.executable, "-c", GENERATE, where, warm, *size], check=True)
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, where, tmp_path / cache],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    peak, objects, freed, moved = json.loads(done.stdout)
    kept = DIRECTORIES - -(-DIRECTORIES // 3)
    assert objects == kept * (FILES + 1) + 1
    assert freed > 0
    assert moved > 0
    assert peak <= 150_000_000, f"{peak:,} bytes for {objects:,} objects"
    assert not TORTURE or objects > 600_000
