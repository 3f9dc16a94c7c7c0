"""A tree of one file under another name: for a database that is restored as a file called so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from blake3 import blake3

from palatine.ids import Kind, ObjectId
from palatine.model.encoding import encode
from palatine.model.tree import Entry, Part, Piece
from palatine.store.trees import Item, Source, expectation


class Additional:
    """A source with some more objects in front of it."""

    def __init__(self, objects: Mapping[ObjectId, bytes], source: Source) -> None:
        self._objects = objects
        self._source = source
        self._expect = expectation(source)

    def get(self, kind: Kind, object_id: ObjectId) -> bytes | bytearray:
        """Return an object's bytes."""
        found = self._objects.get(object_id)
        return self._source.get(kind, object_id) if found is None else found

    def expect(self, ids: Iterable[ObjectId]) -> None:
        """Hear which objects will be asked for soon; see `Foreseeing`."""
        self._expect(ids)


def renamed_file(source: Source, root: Entry, item: Item, name: bytes) -> tuple[Source, Entry]:
    """Return a root whose only file has another name, and a source that knows its tree.

    `item` is the only entry of the tree that `root` stands for.
    """
    entry = msgspec.structs.replace(item.entry, name=name)
    data = encode(Piece(item.piece.owners, item.piece.pool, (entry,)))
    tree = ObjectId(blake3(data).digest())
    return Additional({tree: data}, source), msgspec.structs.replace(root, parts=(Part(tree, 0),))
