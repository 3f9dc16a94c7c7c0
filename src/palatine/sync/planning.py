"""In which form and order objects are asked for: as deltas, where what they stand on is there.

A base that is lacking comes first, also one that no snapshot needs any more: a chain of small
deltas costs less than a version in full. Where it does not, the object is asked for in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from palatine.errors import Malformed
from palatine.ids import ID_SIZE, ObjectId
from palatine.model.pack import OBJECT_MAX, ORDINAL_MAX, PACK_MAX
from palatine.store.reach import Reference
from palatine.store.resolve import CHAIN_MAX
from palatine.sync.roles import Described, Lost, Order, Supplier

DEPTH_MAX = CHAIN_MAX // 2
"""Links that may come at once: a chain that grows longer is asked for in full."""

_CARRIED_MAX = 2.0
"""A chain may cost so many times what the object would in full: its bases serve others, too."""


def plan(
    wanted: Sequence[Reference], supplier: Supplier, holds: Callable[[ObjectId], bool]
) -> list[Order]:
    """Return orders for objects and for bases that they need first.

    Raises Lost when the supplier has not got one of them, Malformed for an impossible answer.
    """
    told = supplier.describe(wanted, deep=False)
    if [one.id for one in told] != [one.id for one in wanted]:
        raise Malformed("the other side describes other objects than it was asked for")
    known = {one.id: _checked(one) for one in told}
    for one in told:
        if one.size < 0:
            raise Lost(f"{one.kind.name.lower()} {one.id.hex()} is missing on the other side")
    lacking = [
        Reference(one.kind, one.id)
        for one in told
        if one.base and one.base not in known and not holds(one.base)
    ]
    if lacking:
        deeper = supplier.describe(lacking, deep=True)
        if len(deeper) > len(lacking) * (CHAIN_MAX + 1):
            raise Malformed("the other side describes endless chains")
        for one in deeper:
            known.setdefault(one.id, _checked(one))
    return _ordered(told, known, holds)


def _ordered(
    told: Sequence[Described], known: dict[ObjectId, Described], holds: Callable[[ObjectId], bool]
) -> list[Order]:
    full: dict[ObjectId, Order] = {}
    deltas: dict[ObjectId, Order] = {}
    for one in told:
        chain = _chain(one, known, full.keys() | deltas.keys(), holds)
        if chain is None:
            full[one.id] = Order(one.kind, one.id, True, one.size // 3)
            continue
        for link in reversed(chain):
            orders = deltas if link.base else full
            orders.setdefault(link.id, Order(link.kind, link.id, False, link.length, link.base))
    # what stands on nothing first: then small objects are not torn apart by deltas
    return [*full.values(), *(one for one in deltas.values() if one.id not in full)]


def _chain(
    one: Described,
    known: dict[ObjectId, Described],
    ordered: object,
    holds: Callable[[ObjectId], bool],
) -> list[Described] | None:
    """Return an object and the bases that must come before it, or None: in full, then."""
    assert hasattr(ordered, "__contains__")
    chain = [one]
    while (base := chain[-1].base) and base not in ordered and not holds(base):
        below = known.get(base)
        if below is None or below.size < 0 or len(chain) > DEPTH_MAX:
            return None
        chain.append(below)
    root = chain[-1]
    share = root.length / root.size if not root.base and root.size else 1 / 3
    cost = sum(link.length for link in chain)
    return chain if len(chain) == 1 or cost <= _CARRIED_MAX * share * one.size else None


def _checked(one: Described) -> Described:
    sane = (
        len(one.id) == ID_SIZE
        and -1 <= one.size <= OBJECT_MAX
        and 0 <= one.length <= PACK_MAX
        and len(one.base) in (0, ID_SIZE)
        and (1 <= one.ordinal < ORDINAL_MAX if one.base else one.ordinal == 0)
    )
    if not sane:
        raise Malformed("the other side describes an impossible object")
    return one
