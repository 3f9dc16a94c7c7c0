"""Realistic palaces that live a day at a time, for tests, benchmarks and the demonstration.

    palaces = create(root, seed=1, megabytes=954)     # eight directories below root
    live_a_day(root, seed=1, day=1)                   # then 2, 3, …
    many_small_files(tree, seed=1, count=100_000)
    touch_small_files(tree, seed=1, day=1)

Seed, size and the sequence of days decide every byte, with one exception: `.git/index` records
inode numbers and times of the working files. (Another version of SQLite or git may lay out its
own files differently.) The text is made up, and no two vectors or notes are alike. A day adds,
changes or deletes 0.2 to 0.5 % of the rows, all over the databases, so that almost every block of
1 MiB is touched although little is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from random import Random

from palatine.testing import files, hnsw
from palatine.testing.databases import Texts, Triples
from palatine.testing.small_files import many_small_files, touch_small_files
from palatine.testing.text import Prose
from palatine.testing.vectors import Vectors

__all__ = ["NAMES", "create", "live_a_day", "many_small_files", "touch_small_files"]

MEGABYTE = 1_000_000


class Kind(Enum):
    """What a part of a palace consists of."""

    TEXTS = "texts"
    TRIPLES = "triples"
    HNSW = "hnsw"
    JSON = "json"
    MEMDIR = "memdir"


@dataclass(frozen=True)
class Part:
    """One artifact: its kind, its path in the palace, its size as a share of all palaces."""

    kind: Kind
    path: str
    share: float


_SEGMENT = "5f0c9a1e-6b1d-4c55-9d0e-2f7b8f7f3a10"
_RECIPES: dict[str, tuple[Part, ...]] = {
    "atlas": (Part(Kind.JSON, ".", 0.004), Part(Kind.TRIPLES, "kg.db", 0.050)),
    "beacon": (
        Part(Kind.JSON, ".", 0.004),
        Part(Kind.TRIPLES, "kg.db", 0.040),
        Part(Kind.TEXTS, "payloads.db", 0.060),
    ),
    "cedar": (Part(Kind.TEXTS, "ai-memory.db", 0.145),),
    "dune": (Part(Kind.TEXTS, "ai-memory.db", 0.110), Part(Kind.JSON, ".", 0.003)),
    "ember": (
        Part(Kind.TEXTS, "chroma.sqlite3", 0.090),
        Part(Kind.HNSW, _SEGMENT, 0.120),
        Part(Kind.TRIPLES, "knowledge_graph.sqlite3", 0.015),
    ),
    "fjord": (
        Part(Kind.TEXTS, "chroma.sqlite3", 0.070),
        Part(Kind.HNSW, _SEGMENT, 0.110),
        Part(Kind.TRIPLES, "knowledge_graph.sqlite3", 0.010),
    ),
    "grove": (
        Part(Kind.TEXTS, "long_term.sqlite", 0.075),
        Part(Kind.TRIPLES, "concepts.sqlite", 0.010),
        Part(Kind.MEMDIR, "memdir", 0.008),
    ),
    "harbor": (
        Part(Kind.TEXTS, "memory.db", 0.066),
        Part(Kind.JSON, "workspace", 0.006),
        Part(Kind.MEMDIR, "knowledge", 0.004),
    ),
}
NAMES = tuple(_RECIPES)


def create(root: Path, seed: int, megabytes: float) -> list[Path]:
    """Write eight palaces below `root`, `megabytes` (10^6 bytes) in all; return their directories.

    Together they are never smaller than about one megabyte.
    """
    makers = _Makers(seed)
    for name, part, path in _parts(root):
        rng = Random(f"{seed}:{name}:{part.path}")
        makers.create(part.kind, path, rng, int(megabytes * MEGABYTE * part.share))
    return [root / name for name in NAMES]


def live_a_day(root: Path, seed: int, day: int, of_a_day: float = 1.0) -> None:
    """Let each palace below `root` live its day number `day` (1, 2, … in order).

    With `of_a_day`, a share of a day: 1/24 makes an hour of each.
    """
    makers = _Makers(seed)
    for name, part, path in _parts(root):
        rng = Random(f"{seed}:{name}:{part.path}:{day}")
        makers.live(part.kind, path, rng, day, of_a_day)


class _Makers:
    """The vocabulary and the vectors of one seed, and what each kind of part does with them."""

    def __init__(self, seed: int) -> None:
        self.prose, self.vectors = _material(seed)
        self.texts = Texts(self.prose, self.vectors)
        self.triples = Triples(self.prose)

    def create(self, kind: Kind, path: Path, rng: Random, size: int) -> None:
        """Write a part of about `size` bytes."""
        match kind:
            case Kind.TEXTS:
                self.texts.create(path, rng, size)
            case Kind.TRIPLES:
                self.triples.create(path, rng, size)
            case Kind.HNSW:
                hnsw.create(path, rng, self.vectors, size)
            case Kind.JSON:
                files.create_json(path, rng, self.prose, size)
            case Kind.MEMDIR:
                files.create_memdir(path, rng, self.prose, size)

    def live(self, kind: Kind, path: Path, rng: Random, day: int, of_a_day: float) -> None:
        """Let a part live a day, which touches between 0.2 and 0.5 % of it, or a share of one."""
        share = rng.uniform(0.002, 0.005) * of_a_day
        match kind:
            case Kind.TEXTS:
                self.texts.live_a_day(path, rng, day, share)
            case Kind.TRIPLES:
                self.triples.live_a_day(path, rng, day, share)
            case Kind.HNSW:
                hnsw.live_a_day(path, rng, self.vectors, share)
            case Kind.JSON:
                files.live_json(path, rng, self.prose, day, share)
            case Kind.MEMDIR:
                files.live_memdir(path, rng, self.prose, day, share)


@lru_cache(maxsize=2)
def _material(seed: int) -> tuple[Prose, Vectors]:
    return Prose(seed), Vectors(seed)


def _parts(root: Path) -> Iterator[tuple[str, Part, Path]]:
    for name, parts in _RECIPES.items():
        for part in parts:
            yield name, part, root / name / part.path
