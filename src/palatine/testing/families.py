"""Small palaces of every family, with the awkward parts that real ones have.

    made = FAMILIES["trusty-sqlite"](data_root, Random(1))
    made.palace, made.name, made.layout, made.outside, made.counts

`counts` are known from the making, not from counting. Databases are at rest, in WAL mode.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from palatine.testing.families_agents import (
    make_nexo_memdir,
    make_nexo_runtime,
    make_nexo_snapshots,
)
from palatine.testing.families_chroma import make_mempalace
from palatine.testing.families_stores import (
    Made,
    make_ai_memory,
    make_generic,
    make_oxios,
    make_trusty_redb,
    make_trusty_sqlite,
)

__all__ = ["FAMILIES", "Made", "make_all"]

FAMILIES: dict[str, Callable[[Path, Random], Made]] = {
    "trusty-sqlite": make_trusty_sqlite,
    "trusty-redb": make_trusty_redb,
    "mempalace": make_mempalace,
    "oxios": make_oxios,
    "ai-memory": make_ai_memory,
    "nexo-runtime": make_nexo_runtime,
    "nexo-snapshots": make_nexo_snapshots,
    "nexo-memdir": make_nexo_memdir,
    "generic": make_generic,
}
"""What writes one palace below an empty (or absent) data root of its own."""


def make_all(root: Path, seed: int) -> dict[str, Made]:
    """Write one palace of each family, each below a directory of its own."""
    return {name: make(root / name, Random(f"{seed}:{name}")) for name, make in FAMILIES.items()}
