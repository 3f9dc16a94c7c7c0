"""Verbs for the repository itself: what is sound, what stays, what goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from palatine.api.opened import Opened
from palatine.api.places import PathLike
from palatine.errors import UsageError
from palatine.model.names import split_palace
from palatine.ops.defaults import absolute

if TYPE_CHECKING:
    from palatine.model.policy import Policy, Rules
    from palatine.ops import forget as forget_op
    from palatine.ops import gc as gc_op
    from palatine.ops import reindex as reindex_op
    from palatine.ops import repair as repair_op
    from palatine.ops import verify as verify_op


class Caring(Opened):
    """Verifying, mending, forgetting and collecting."""

    def verify(
        self, *, data: bool = False, sample: float | None = None, seed: int | None = None
    ) -> verify_op.Report:
        """Check the repository: its structure, every byte (`data`), or a share of its packs.

        `sample` is a share from 0 to 1. Damage is in the report, not raised.
        """
        from palatine.ops import verify

        if data and sample is not None:
            raise UsageError("data and sample exclude each other", "choose one")
        if sample is not None and not 0 < sample <= 1:
            raise UsageError("a sample is more than nothing and at most everything")
        depth = verify.Depth.DATA if data else verify.Depth.STRUCTURE
        if sample is not None:
            depth = verify.Depth.SAMPLE
        return verify.verify(self.store, depth, sample or 1.0, seed)

    def repair(
        self, *, sources: Sequence[PathLike] = (), dry_run: bool = False
    ) -> repair_op.Repaired:
        """After damage: keep everything that can be read, and say exactly what is lost.

        What is lost is looked for in palaces as they are now: in `sources`, and where the palaces
        were. Others may work meanwhile. Raises FormatTooNew, RepositoryError, ReadOnly, NoSpace,
        Locked; whatever it raises, what could be read can be.
        """
        from palatine.ops import repair

        return repair.repair(self.store, [absolute(one) for one in sources], dry_run)

    def reindex(self) -> reindex_op.Reindexed:
        """Make the index and the catalog anew from the packs."""
        from palatine.ops import reindex

        return reindex.reindex(self.store)

    def forget(
        self,
        *revisions: str,
        rules: Rules | None = None,
        palace: str | None = None,
        zone: str = "",
        even_last: bool = False,
        dry_run: bool = False,
    ) -> forget_op.Plan:
        """Forget the snapshots that revisions name, or those that rules do not keep.

        `palace` applies the rules to that one only. `zone` is the IANA name of the time zone whose
        days they mean; without one, this system's. `even_last` lets go of the last of a palace.
        Raises UsageError for neither or both, UnknownRevision, AmbiguousRevision, Refused, Damaged.
        """
        from palatine.model.policy import PalaceRules, Policy
        from palatine.ops import forget
        from palatine.ops.periods import zone_named

        if bool(revisions) == (rules is not None):
            raise UsageError(
                "nothing says what is to be forgotten" if rules is None else "both rules and names",
                "name snapshots, or give rules for those that stay",
            )
        if rules is None:
            plan = forget.plan_named(self.store, revisions, even_last)
        else:
            zone_named(zone)
            policy = Policy(palaces=(PalaceRules("", "", zone, rules),))
            plan = forget.plan_rules(self.store, policy, palace, even_last)
        return plan if dry_run else forget.execute(self.store, plan)

    def policy(self) -> Policy:
        """Return the rules that are stored in the repository, which gc applies."""
        from palatine.ops import policy

        return policy.current(self.store)[1]

    def set_policy(
        self, rules: Rules | None, *, palace: str | None = None, zone: str = ""
    ) -> Policy:
        """Store rules for a palace, or for all that have none of their own; None takes them away.

        `zone` is as in `forget`, but without one it is the system's of whoever applies the rules.
        Raises UsageError.
        """
        from palatine.model.policy import PalaceRules
        from palatine.ops import policy
        from palatine.ops.periods import zone_named

        zone_named(zone)
        tenant, name = split_palace(palace) if palace else ("", "")
        new = PalaceRules(tenant, name, zone, rules) if rules else None
        return policy.change(self.store, tenant, name, new)

    def plan_gc(self, options: gc_op.Options | None = None) -> gc_op.Plan:
        """Say what `gc` would do, and change nothing. Raises Damaged, Refused."""
        from palatine.ops import gc

        return gc.plan(self.store, options)

    def gc(self, options: gc_op.Options | None = None) -> gc_op.Collected:
        """Apply the stored policy, and remove what no snapshot needs.

        Others may work meanwhile. Raises Damaged where what is needed cannot be told for certain,
        Refused, ReadOnly, NoSpace, Locked; whatever it raises, nothing is lost.
        """
        from palatine.ops import gc

        return gc.gc(self.store, options)
