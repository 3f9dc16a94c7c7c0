"""Directories under way: being filled, and waiting for their metadata until all is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from palatine.model.tree import Entry, Owner
from palatine.restore.arrangement import Trees
from palatine.restore.handles import DIRECTORY, Handle
from palatine.restore.metadata import Metadata
from palatine.restore.reuse import open_old


@dataclass
class Node:
    """A directory to be finished when everything in it is there."""

    entry: Entry
    owner: Owner
    below: list[Node] = field(default_factory=list)


class Filling(NamedTuple):
    """A directory to be filled: where it is, and the old one that it takes files over from.

    The handles are of its parent where it has a name, and its own where it has none.
    """

    handle: Handle
    old: Handle | None
    node: Node
    trees: Trees
    path: bytes

    def opened(self) -> Filling:
        """Return it with handles of its own; lets go of its parent's."""
        name = self.node.entry.name
        if not name:
            return self
        handle = old = None
        try:
            handle = Handle(os.open(name, DIRECTORY, dir_fd=self.handle.fd))
            if self.old is not None and self.trees.present is not None:
                old = open_old(self.old, name)
        finally:
            self.release()
        return self._replace(handle=handle, old=old)

    def below(self, node: Node, trees: Trees) -> Filling:
        """Return a directory in this one, whose handles are held for it."""
        old = self.old.hold() if self.old else None
        return Filling(self.handle.hold(), old, node, trees, self.path + node.entry.name + b"/")

    def release(self) -> None:
        """Let go of the handles."""
        self.handle.release()
        if self.old is not None:
            self.old.release()


def finish(top: int, node: Node, metadata: Metadata) -> None:
    """Set the metadata of directories, each after those below it."""
    stack: list[tuple[int, Node, Iterator[Node]]] = [(top, node, iter(node.below))]
    while stack:
        fd, at, below = stack[-1]
        child = next(below, None)
        if child is not None:
            inner = os.open(child.entry.name, DIRECTORY, dir_fd=fd)
            stack.append((inner, child, iter(child.below)))
            continue
        stack.pop()
        metadata.put(fd, at.entry, at.owner, created=False)
        if stack:
            os.close(fd)
