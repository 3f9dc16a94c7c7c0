"""policy: retention rules that are kept in the repository, and what they do to it.

policy/N holds all rules; who changes them writes policy/N+1, only if absent. The greatest N holds.
"""

from __future__ import annotations

import re

from palatine.errors import Malformed, NotFound
from palatine.model.policy import (
    PalaceRules,
    Policy,
    Rules,
    check_policy,
    decode_policy,
    encode_policy,
)
from palatine.ops import forget
from palatine.store.repository import Repository

FOLDER = "policy/"
SUGGESTED = Rules(hourly=24, daily=14, weekly=8, monthly=12, yearly=10)
"""For an agent that snapshots every hour: docs/retention.md tells what a year of it leaves."""
_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")


def current(repository: Repository) -> tuple[int, Policy]:
    """Return the policy in force and its number; 0 and an empty one where none was ever set.

    Raises Malformed, FormatTooNew: what cannot be read forgets nothing, and neither does what
    was in force before it.
    """
    number = newest_number(repository)
    return number, _read(repository, number)


def newest_number(repository: Repository) -> int:
    """Return the number of the policy in force, whether it can be read or not; 0 for none."""
    return max(_numbers(repository), default=0)


def change(repository: Repository, tenant: str, palace: str, new: PalaceRules | None) -> Policy:
    """Set the rules for a palace, or for all with two empty names; None takes them away.

    Raises UsageError for rules that keep nothing. Of two who change at once, neither is lost. A
    damaged policy is mended so: the rules of the last one that can be read are taken over.
    """
    while True:
        number, policy = _newest_readable(repository)
        changed = policy.changed(tenant, palace, new)
        check_policy(changed)
        data = encode_policy(changed)
        if repository.backend.create(f"{FOLDER}{number + 1}", data):
            return changed


def _read(repository: Repository, number: int) -> Policy:
    if not number:
        return Policy()
    name = f"{FOLDER}{number}"
    return decode_policy(repository.backend.get(name), name)


def _numbers(repository: Repository) -> list[int]:
    names = (stat.name.removeprefix(FOLDER) for stat in repository.backend.list(FOLDER))
    return [int(name) for name in names if _NUMBER.match(name)]


def _newest_readable(repository: Repository) -> tuple[int, Policy]:
    """Return the greatest number, and the newest policy that can be read."""
    numbers = sorted(_numbers(repository), reverse=True)
    for number in numbers:
        try:
            return numbers[0], _read(repository, number)
        except (Malformed, NotFound) as error:
            repository.reporter.notice(f"{error}: what it said is lost")
    return (numbers or [0])[0], Policy()


def apply(repository: Repository, dry_run: bool = False) -> forget.Plan | None:
    """Forget what the stored policy lets go; return what became of whom, None without a policy.

    With `dry_run`, only the plan is made. Raises what `forget.plan_rules` and `current` raise.
    """
    number, policy = current(repository)
    if not number or not policy.palaces:
        return None
    plan = forget.plan_rules(repository, policy)
    return plan if dry_run else forget.execute(repository, plan)
