"""What snapshots need: every object below some trees, each looked at once.

What is known to be needed is a bitmap over the catalog's numbers of copies, so memory does not grow
with ids, and the trees that many snapshots share are read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from palatine.errors import Damaged
from palatine.ids import Buffer, Kind, ObjectId
from palatine.model.filelist import decode_list
from palatine.model.tree import EntryKind, Node, Tree, decode_tree, decode_unchecked
from palatine.store.bitmap import Bitmap
from palatine.store.catalog import Catalog, Copy
from palatine.store.trees import Source

_AT_ONCE = 16
"""Trees and lists taken from the stack at once, and read in the order in which they lie."""

_NAMED = 10_000
"""Names that are gathered before they are looked up."""

_RECENT = 50_000
"""Ids that were looked up and are not looked up again: neighbours name the same chunks."""


class Reference(NamedTuple):
    """An object as another one names it."""

    kind: Kind
    id: ObjectId


class _Found(NamedTuple):
    """A tree or list that is to be read, and where it lies."""

    place: tuple[int, int]
    reference: Reference


class Reach:
    """The objects that are needed, found by following trees; `content` are their copies' numbers.

    All copies of an object that the catalog knew when it was found are in there.
    """

    def __init__(self, source: Source, catalog: Catalog) -> None:
        self._source = source
        self._catalog = catalog
        self._recent: set[ObjectId] = set()
        self._whole = True
        self.content = Bitmap()
        self.objects = 0
        """How many were found."""

    def add(self, trees: Iterable[ObjectId]) -> None:
        """Follow more trees; raises Damaged, naming the object, where something is not there.

        After an error this reach is of no use: what it had begun with counts as looked at.
        """
        assert self._whole, "a tree was not followed to its end"
        self._whole = False
        waiting = self._unseen(Reference(Kind.TREE, tree) for tree in trees)
        while waiting:
            some = sorted(waiting[-_AT_ONCE:])
            del waiting[-_AT_ONCE:]
            named: list[Reference] = []
            for one in some:
                named += self._below(one.reference)
                if len(named) >= _NAMED or one is some[-1]:
                    waiting += self._unseen(named)
                    named = []
        self._whole = True

    def _below(self, reference: Reference) -> Iterator[Reference]:
        """Yield what a tree or a list names.

        A name too many keeps something too many, and one that is no id is missing: so trees are
        not checked, which took two fifths of the time. That is for those who rely on the rest.
        """
        data = self._source.get(*reference)
        if reference.kind == Kind.TREE:
            return _named(decode_unchecked(data, reference.id))
        return _listed(data, reference.id)

    def _unseen(self, references: Iterable[Reference]) -> list[_Found]:
        """Note what is named, and return what of it has to be read, the first to be read last."""
        wanted = {one.id: one for one in references if one.id not in self._recent}
        found = self._catalog.find([*wanted])
        fresh: list[_Found] = []
        for object_id, reference in wanted.items():
            copies = found.get(object_id)
            if not copies:
                what = f"{reference.kind.name.lower()} {object_id.hex()}"
                raise Damaged(f"{what} is missing from the repository", "run: pal verify")
            if self._note(copies) and reference.kind != Kind.CHUNK:
                fresh.append(_Found(copies[0][:2], reference))
        if len(self._recent) > _RECENT:
            self._recent.clear()
        self._recent.update(wanted)
        return sorted(fresh, reverse=True)

    def _note(self, copies: list[Copy]) -> bool:
        """Put an object in; return whether it is new."""
        if copies[0].number in self.content:
            return False
        for copy in copies:
            self.content.add(copy.number)
        self.objects += 1
        return True


def below(source: Source, reference: Reference) -> Iterator[Reference]:
    """Yield what a tree or a list names; raises Damaged."""
    kind, object_id = reference
    data = source.get(kind, object_id)
    if kind == Kind.LIST:
        yield from _listed(data, object_id)
    else:
        yield from _named(decode_tree(data, object_id))


def _listed(data: Buffer, object_id: ObjectId) -> Iterator[Reference]:
    listed = decode_list(data, object_id)
    inner = Kind.LIST if listed.level > 1 else Kind.CHUNK
    return (Reference(inner, part.id) for part in listed.parts)


def _named(tree: Tree) -> Iterator[Reference]:
    if isinstance(tree, Node):
        yield from (Reference(Kind.TREE, branch.id) for branch in tree.branches)
        return
    yield from (Reference(Kind.CHUNK, part.id) for part in tree.pool)
    for entry in tree.entries:
        inner = Kind.LIST if entry.level else Kind.CHUNK
        if entry.kind == EntryKind.DIRECTORY:
            inner = Kind.TREE
        for part in entry.parts:
            yield Reference(inner, part.id)
