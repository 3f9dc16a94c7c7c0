"""mempalace with Chroma: a palace directory, and much that belongs to it beside that directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from palatine.layouts.base import (
    Image,
    Layout,
    OutsidePart,
    has_file,
    json_list,
    part_file,
    query_counts,
    read_json,
)

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
