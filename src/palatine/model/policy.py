"""Retention rules as they are stored: which snapshots stay, for one palace or for all.

A text file like the config: one line of JSON, then one line with its SHA-256. A flipped digit must
not forget anything.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from palatine.errors import FormatTooNew, Malformed, UsageError
from palatine.model.checked import checked_line, with_checksum
from palatine.model.names import check_label, check_palace, join_palace

POLICY_VERSION = 1
ALL = -1
"""As a count: every one."""
COUNT_MAX = 1_000_000_000
ZONE_LENGTH = 80
_WITHIN_MAX_US = 10_000 * 365 * 86400 * 1_000_000


class Rules(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How many snapshots stay. A count is 0 for no such rule, ALL for no limit.

    `within_us` counts back from the newest snapshot. `group` is what the counts are of: each place
    (host and path) that a palace was kept from, or the palace as a whole.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within_us: int = 0
    tags: tuple[str, ...] = ()
    group: Literal["place", "palace"] = "place"

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name, `last` first, then from the shortest period to the longest."""
        names = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
        return {name: getattr(self, name) for name in names}

    @property
    def empty(self) -> bool:
        """Whether there is no rule at all: then nothing would say what stays."""
        return not (any(self.counts.values()) or self.within_us or self.tags)


class PalaceRules(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The rules for one palace; with an empty tenant and palace, for all that have none.

    `zone` is the IANA name of the time zone whose days count; empty: that of who applies them.
    """

    tenant: str
    palace: str
    zone: str
    rules: Rules

    @property
    def name(self) -> str:
        """The palace's name as people write it; empty for all."""
        return join_palace(self.tenant, self.palace) if self.palace else ""


class Policy(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All rules of a repository, sorted by tenant and palace: the general ones come first."""

    palatine: int = POLICY_VERSION
    palaces: tuple[PalaceRules, ...] = ()

    def of(self, tenant: str, palace: str) -> PalaceRules | None:
        """Return the rules for a palace: its own, else the general ones, or None."""
        by_palace = {(one.tenant, one.palace): one for one in self.palaces}
        return by_palace.get((tenant, palace)) or by_palace.get(("", ""))

    def changed(self, tenant: str, palace: str, new: PalaceRules | None) -> Policy:
        """Return the policy with other rules for a palace, or with none of its own."""
        kept = [one for one in self.palaces if (one.tenant, one.palace) != (tenant, palace)]
        kept += [new] if new else []
        return Policy(palaces=tuple(sorted(kept, key=lambda one: (one.tenant, one.palace))))


class _Announced(msgspec.Struct, frozen=True):
    """What tells a later version from a damaged one, whatever else it holds."""

    palatine: int


def encode_policy(policy: Policy) -> bytes:
    """Return the bytes of a policy's file."""
    return with_checksum(msgspec.json.encode(policy))


def decode_policy(data: bytes, name: str) -> Policy:
    """Return the policy in a file; raises Malformed for damage, FormatTooNew for a later one."""
    line = checked_line(data)
    if line is None:
        raise Malformed(
            f"{name} is damaged: its checksum does not fit", "pal policy set writes it anew"
        )
    try:
        announced = msgspec.json.decode(line, type=_Announced)
        if announced.palatine > POLICY_VERSION:
            raise FormatTooNew(f"{name} was written by a newer palatine", "upgrade palatine")
        policy = msgspec.json.decode(line, type=Policy)
        check_policy(policy)
    except (msgspec.DecodeError, msgspec.ValidationError, UsageError) as error:
        raise Malformed(f"{name} does not follow the format: {error}") from error
    if msgspec.json.encode(policy) != line:
        raise Malformed(f"{name} does not follow the format: it is written in another way")
    return policy


def check_policy(policy: Policy) -> None:
    """Raise UsageError for a policy that no repository may hold."""
    places = [(one.tenant, one.palace) for one in policy.palaces]
    if policy.palatine < 1 or places != sorted(set(places)):
        raise UsageError("a policy lists each palace once, in order")
    for one in policy.palaces:
        if (one.tenant, one.palace) != ("", ""):
            check_palace(one.tenant, "tenant name")
            check_palace(one.palace)
        if len(one.zone) > ZONE_LENGTH or not (one.zone.isascii() and one.zone.isprintable()):
            raise UsageError(f"{one.zone!r} is not the name of a time zone")
        check_rules(one.rules)


def check_rules(rules: Rules) -> None:
    """Raise UsageError for rules that keep nothing, or that make no sense."""
    if rules.empty:
        raise UsageError(
            "there is no rule that says what stays", "give at least one --keep-… option"
        )
    if not 0 <= rules.within_us <= _WITHIN_MAX_US:
        raise UsageError("--keep-within is out of range", "write 12h, 30d or 1y")
    for name, count in rules.counts.items():
        if not ALL <= count <= COUNT_MAX:
            raise UsageError(f"--keep-{name} takes a number from 0 on, or: all")
    for tag in rules.tags:
        check_label(tag)
    if list(rules.tags) != sorted(set(rules.tags)):
        raise UsageError("tags are listed once each, in order")
