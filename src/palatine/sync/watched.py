"""A supplier whose bytes are counted, told to a reporter, and let through no faster than may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from palatine.clock import Clock
from palatine.events import Reporter
from palatine.ids import Kind
from palatine.store.reach import Reference
from palatine.sync.roles import Described, Given, Offer, Order, SnapshotFile, Supplier

_STAGES = {Kind.CHUNK: "copying files", Kind.LIST: "copying lists", Kind.TREE: "copying trees"}


class Watched(Supplier):
    """Stands between a supplier and a receiver; `sent` counts the bytes of frames."""

    def __init__(
        self, supplier: Supplier, reporter: Reporter, bandwidth: int | None, clock: Clock
    ) -> None:
        self.identity = supplier.identity
        self._supplier = supplier
        self._reporter = reporter
        self._bandwidth = bandwidth
        self._clock = clock
        self._due = 0.0
        self.sent = 0

    def offers(self) -> list[Offer]:
        """Pass it on."""
        found = self._supplier.offers()
        self.damaged = self._supplier.damaged
        return found

    def files(self, shorts: Sequence[bytes]) -> Iterator[SnapshotFile]:
        """Pass it on."""
        return self._supplier.files(shorts)

    def describe(self, wanted: Sequence[Reference], deep: bool) -> list[Described]:
        """Pass it on."""
        return self._supplier.describe(wanted, deep)

    def objects(self, orders: Sequence[Order]) -> Iterator[Given]:
        """Pass frames on, each when its time has come."""
        stage = _STAGES.get(orders[0].kind, "copying") if orders else "copying"
        self._reporter.begin(stage, sum(order.length for order in orders))
        try:
            for given in self._supplier.objects(orders):
                size = len(given.payload)
                self.sent += size
                self._wait(size)
                self._reporter.advance(size)
                yield given
        finally:
            self._reporter.end()

    def _wait(self, size: int) -> None:
        if self._bandwidth is None:
            return
        now = self._clock.monotonic()
        # what was not used while nothing had to be sent is not made up for
        self._due = max(self._due, now) + size / self._bandwidth
        if self._due > now:
            self._clock.sleep(self._due - now)
