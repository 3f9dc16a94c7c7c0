"""A process that works on a repository until it is done or killed: `python actor.py URL HOME VERB`.

`snapshot` writes the palace HOME/palace-NAME anew and keeps it; `gc` collects. A heart that stands
for half a second is taken for dead.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import palatine
from palatine.errors import Fenced, Locked
from palatine.store.repository import Settings

SETTINGS = Settings(workers=2, beat_seconds=0.1, fence_seconds=0.5)


def main(url: str, home: Path, verb: str, seed: str) -> None:
    """Do it."""
    with palatine.open_repository(url, cache=home / "cache", settings=SETTINGS) as repository:
        if verb == "gc":
            repository.gc()
            return
        rng = Random(seed)
        palace = home / f"palace-{home.name}"
        palace.mkdir(exist_ok=True)
        for number in range(3):
            # some of it is what the other host has, too
            shared = Random(rng.randrange(4)).randbytes(80_000)
            (palace / f"file-{number}").write_bytes(shared + rng.randbytes(rng.randrange(60_000)))
        done = repository.snapshot(palace)
        snapshots = repository.log(f"palace-{home.name}")
        if snapshots[3:]:
            repository.forget(*[one.id.hex() for one in snapshots[3:]])
        print(done.stored.id.hex(), done.stored.snapshot.time_us)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    except (Fenced, Locked) as refused:
        print(refused, file=sys.stderr)
        sys.exit(11)
