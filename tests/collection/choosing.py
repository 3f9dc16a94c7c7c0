"""Any packs may be rewritten, thoroughly or not: what gc chooses is only the cheapest way."""

from __future__ import annotations

from random import Random

from palatine.ops import gc
from palatine.store.census import Account

_to_rewrite = gc._to_rewrite


def any_packs(alive: list[Account], options: gc.Options) -> tuple[list[Account], bool]:
    """Stand in for gc's choice where a number of bytes may stay unused: it is a seed.

    0: all packs, and none of what stands on bases that no snapshot needs is stored anew for that.
    """
    if options.max_unused_bytes is None or options.erase:
        return _to_rewrite(alive, options)
    if not options.max_unused_bytes:
        return alive, False
    random = Random(options.max_unused_bytes)
    share = random.choice([0.2, 0.5, 1.0])
    return [one for one in alive if random.random() < share], random.random() < 0.3


def chosen_by(random: Random) -> gc.Options:
    """Return options for the usual choice, or for another one."""
    seed = random.randrange(10**6) if random.random() < 0.6 else None
    return gc.Options(0.0, seed, erase=random.random() < 0.2)
