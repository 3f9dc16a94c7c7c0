"""trusty-memory: `palace.json` beside either SQLite databases or, later, redb files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from palatine.layouts.base import (
    Held,
    Identity,
    Image,
    Layout,
    directories,
    json_list,
    query_counts,
    read_json,
)
from palatine.layouts.merging import OnlyOne, Table, Treatment

_KINDS = {
    b"palace.json": "config",
    b"identity.txt": "text",
    b"l1_cache.json": "drawers",
    b"kg.db": "knowledge-graph",
    b"kg.redb": "knowledge-graph",
    b"index.usearch": "vector-index",
    b"index.usearch.keymap.json": "vector-index",
    b"index.usearch.redb": "vector-index",
    b"recall.db": "recall",
    b"recall.redb": "recall",
    b"chat_sessions.db": "chat",
    b"chat_sessions.redb": "chat",
    b"payloads.db": "payloads",
    b"payloads.redb": "payloads",
    b"dream_stats.json": "state",
}
_DERIVED = {b"index.usearch", b"index.usearch.keymap.json", b"index.usearch.redb"}
_OWN_KEYS = {"id", "name", "created_at"}
_TABLES = {
    b"kg.db": {
        "triples": Table(
            key=("subject", "predicate", "object", "valid_from"),
            only_one=OnlyOne(("subject", "predicate"), ends="valid_to", begins="valid_from"),
        ),
    },
    b"recall.db": {"recall_events": Table(key=(), named=frozenset({"palace_id"}))},
}
_STATE = {b"dream_stats.json"}
_IDENTITY = (
    Held(b"palace.json", "id", Identity.NAME),
    Held(b"palace.json", "name", Identity.NAME),
    Held(b"palace.json", "data_dir", Identity.PLACE),
    Held(b"recall.db", "palace_id", Identity.NAME, database=True),
)


class Trusty(Layout):
    """Palaces of trusty-memory, of its SQLite era and of its redb era."""

    name = "trusty"

    def recognise(self, path: Path) -> bool:
        """A directory whose palace.json says what trusty-memory's do."""
        value = read_json(path / "palace.json")
        return isinstance(value, dict) and value.keys() >= _OWN_KEYS

    def is_home(self, directory: Path) -> bool:
        """A data root: its palaces lie in `palaces`, beside the daemon's own files."""
        return any(self.recognise(below) for below in directories(directory / "palaces"))

    def palace_name(self, path: Path) -> str | None:
        """Return the id that palace.json gives."""
        value = read_json(path / "palace.json")
        identity = value.get("id") if isinstance(value, dict) else None
        return identity if isinstance(identity, str) else None

    def identity(self) -> Sequence[Held]:
        """Return what its own restore rewrites, and the id by which it looks up recalls.

        It opens the palace at `data_dir`, wherever palace.json itself lies.
        """
        return _IDENTITY

    def artifact_kind(self, path: bytes) -> str | None:
        """Name the files; what a redb upgrade set aside is named as such."""
        if b".v2-incompatible" in path:
            return "set-aside"
        return _KINDS.get(path)

    def is_derived(self, path: bytes) -> bool:
        """Vectors can be computed anew from the drawers."""
        return path in _DERIVED

    def merge_tables(self, path: bytes) -> Mapping[str, Table]:
        """Triples are told by what they say and since when; the numbers of rows say nothing."""
        return _TABLES.get(path, {})

    def merge_file(self, path: bytes) -> Treatment:
        """What the last dream did is this palace's alone; redb files are opaque."""
        return Treatment.OWN if path in _STATE else super().merge_file(path)

    def counts(self, image: Image) -> dict[str, int]:
        """Count drawers (kg.db's, and those only the L1 cache has), triples, recalls, chats.

        redb files are opaque: nothing in them is counted.
        """
        counts = query_counts(
            image,
            b"kg.db",
            {
                "triples": "SELECT count(*) FROM triples",
                "active_triples": "SELECT count(*) FROM triples WHERE valid_to IS NULL",
                "entities": "SELECT count(*) FROM entities",
            },
        )
        if image.read(b"kg.redb") is None:
            counts["drawers"] = len(_drawers(image))
        counts |= query_counts(
            image, b"recall.db", {"recalls": "SELECT count(*) FROM recall_events"}
        )
        counts |= query_counts(
            image, b"chat_sessions.db", {"chats": "SELECT count(*) FROM chat_sessions"}
        )
        return counts


def _drawers(image: Image) -> set[str]:
    cached = json_list(image, b"l1_cache.json") or []
    found = {
        one["id"] for one in cached if isinstance(one, dict) and isinstance(one.get("id"), str)
    }
    with image.database(b"kg.db") as database:
        if database is not None:
            has = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'drawers'"
            if database.execute(has).fetchone():
                found |= {one for (one,) in database.execute("SELECT id FROM drawers")}
    return found
