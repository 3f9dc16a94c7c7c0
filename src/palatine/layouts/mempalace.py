"""mempalace with Chroma: a palace directory, and much that belongs to it beside that directory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from palatine.layouts.base import (
    Held,
    Identity,
    Image,
    Layout,
    OutsidePart,
    has_file,
    json_list,
    part_file,
    query_counts,
    read_json,
)
from palatine.layouts.merging import OWN, IndexOf, Owned, Reference, Table, Treatment

_UUID = rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SEGMENT = re.compile(_UUID + rb"\Z")
_QUARANTINED = re.compile(_UUID + rb"\.(?:drift|corrupt)-")
_GRAPH = "knowledge_graph.sqlite3"
_OUTSIDE = {
    "knowledge-graph": _GRAPH,
    "tunnels": "tunnels.json",
    "hallways": "hallways.json",
    "known-entities": "known_entities.json",
    "entity-registry": "entity_registry.json",
    "people-map": "people_map.json",
    "identity": "identity.txt",
    "config": "config.json",
}
_TELLING = (_GRAPH, "tunnels.json", "hallways.json", "entity_registry.json", "known_entities.json")
_KINDS = {
    b"chroma.sqlite3": "drawers",
    b"knowledge_graph.sqlite3": "knowledge-graph",
    b"@knowledge-graph": "knowledge-graph",
    b"@tunnels": "tunnels",
    b"@hallways": "hallways",
    b"@known-entities": "entities",
    b"@entity-registry": "entities",
    b"@people-map": "entities",
    b"@identity": "text",
    b"@config": "config",
}
_IN_COLLECTION = (
    "SELECT count(*) FROM embeddings e JOIN segments s ON s.id = e.segment_id"
    " JOIN collections c ON c.id = s.collection WHERE s.scope = 'METADATA' AND c.name = '{}'"
)


_CHROMA: dict[str, Table] = {
    "databases": Table(key=("name", "tenant_id"), local={"id": None}),
    "collections": Table(
        key=("name", "database_id"),
        local={"id": None},
        references={"database_id": Reference("databases", "id")},
        owned=(Owned("collection_metadata", "collection_id", "id"),),
    ),
    "segments": Table(
        key=("collection", "scope"),
        local={"id": None},
        references={"collection": Reference("collections", "id")},
        owned=(Owned("segment_metadata", "segment_id", "id"),),
    ),
    "embeddings": Table(
        key=("segment_id", "embedding_id"),
        # 0: before all that the segment's log still has to tell; the log itself is one palace's
        local={"seq_id": "0", "created_at": None},
        references={"segment_id": Reference("segments", "id")},
        owned=(
            Owned("embedding_metadata", "id", "id"),
            Owned("embedding_metadata_array", "id", "id"),
            Owned("embedding_fulltext_search", "rowid", "id"),
        ),
    ),
    **dict.fromkeys(
        ("max_seq_id", "embeddings_queue", "embeddings_queue_config", "maintenance_log",
         "acquire_write"),
        OWN,
    ),
}  # fmt: skip
_BY_NAME = (b"@hallways/", b"@known-entities/", b"@entity-registry/", b"@people-map/")


class Mempalace(Layout):
    """Palaces of mempalace that Chroma holds."""

    name = "mempalace"

    def recognise(self, path: Path) -> bool:
        """A directory with Chroma's database."""
        return has_file(path, "chroma.sqlite3")

    def is_home(self, directory: Path) -> bool:
        """`~/.mempalace`: the palace lies beside registries, locks and logs."""
        return any(has_file(directory / name, "chroma.sqlite3") for name in ("palace", "chroma"))

    def palace_name(self, path: Path) -> str | None:
        """Return the name of what `palace` belongs to: that word says nothing."""
        return path.parent.name.lstrip(".") or None if path.name == "palace" else None

    def identity(self) -> Sequence[Held]:
        """Return the place in its configuration. Segments are named by ids that Chroma keeps."""
        return (Held(b"@config/config.json", "palace_path", Identity.PLACE),)

    def outside(self, path: Path) -> list[OutsidePart]:
        """Return the graph, the tunnels and the registries beside the palace.

        Only where these are mempalace's: any directory may have a config.json.
        """
        home = path.parent
        value = read_json(home / "config.json")
        configured = isinstance(value, dict) and bool(value.keys() & {"palace_path", "topic_wings"})
        if not (configured or has_file(home, *_TELLING) or home.name == ".mempalace"):
            return []
        return [
            OutsidePart(part, home / name)
            for part, name in _OUTSIDE.items()
            if os.path.isfile(home / name) and (part != "config" or configured)
        ]

    def artifact_kind(self, path: bytes) -> str | None:
        """Name databases, vector segments, those that were quarantined, and outside parts."""
        if _SEGMENT.match(path):
            return "vector-index"
        if _QUARANTINED.match(path):
            return "set-aside" if b"/" not in path else None
        return _KINDS.get(path.partition(b"/")[0] if path.startswith(b"@") else path)

    def merge_tables(self, path: bytes) -> Mapping[str, Table]:
        """Drawers are told by their ids in their collection, with all their metadata and text.

        Collections and segments have other ids in each palace, drawers other numbers.
        """
        return _CHROMA if path == b"chroma.sqlite3" else {}

    def merge_file(self, path: bytes) -> Treatment:
        """Registries are merged name by name, vector segments not at all."""
        if path.startswith(_BY_NAME):
            return Treatment.NAMES
        return super().merge_file(path)

    def index_of(self, path: bytes) -> IndexOf | None:
        """A segment of vectors belongs to the row that has its id."""
        if not _SEGMENT.match(path):
            return None
        query = "SELECT 1 FROM main.segments WHERE id = ?"
        return IndexOf(b"chroma.sqlite3", query, (path.decode(),))

    def counts(self, image: Image) -> dict[str, int]:
        """Count drawers and closets as Chroma does, and the graph the palace uses.

        A graph in the palace directory is there because the system was told to use that one.
        """
        counts = query_counts(
            image,
            b"chroma.sqlite3",
            {
                "drawers": _IN_COLLECTION.format("mempalace_drawers"),
                "closets": _IN_COLLECTION.format("mempalace_closets"),
            },
        )
        graph = {
            "triples": "SELECT count(*) FROM triples",
            "entities": "SELECT count(*) FROM entities",
        }
        for path in (part_file(image, "knowledge-graph"), b"knowledge_graph.sqlite3"):
            counts |= query_counts(image, path, graph)
        tunnels = json_list(image, part_file(image, "tunnels"), "tunnels")
        hallways = json_list(image, part_file(image, "hallways"), "hallways")
        for name, found in (("tunnels", tunnels), ("hallways", hallways)):
            if found is not None:
                counts[name] = len(found)
        return counts
