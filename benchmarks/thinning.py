"""Sixty days of hourly snapshots under one policy: palatine, restic and borg.

python benchmarks/thinning.py --megabytes 100 --days 60 --out docs/benchmarks

Each hour a hundred-megabyte data root lives an hour and everybody takes a snapshot that bears that
hour's time; each night everybody applies the policy and collects. Timed are the last nights, one
contestant after the other, and the restores of the oldest and the newest snapshot.

With --until DAY all of it stays in --work, and a later run with the same --work goes on from there:
most of the time goes into days that are not timed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import palatine
from measure import Usage, settle
from palatine.clock import Clock
from palatine.ops.policy import SUGGESTED
from palatine.testing import palaces
from peers import Borg, Contestant, Palatine, Restic
from trees import bytes_in, differences, manifest

SEED = 60
LIVED = "lived.json"
KEEP = {
    "hourly": SUGGESTED.hourly,
    "daily": SUGGESTED.daily,
    "weekly": SUGGESTED.weekly,
    "monthly": SUGGESTED.monthly,
    "yearly": SUGGESTED.yearly,
}
FLAGS = [word for name, count in KEEP.items() for word in (f"--keep-{name}", str(count))]


class At(Clock):
    """A clock whose wall time for snapshots is set; files keep the system's stamps."""

    def __init__(self, moment: datetime.datetime) -> None:
        self._us = int(moment.timestamp() * 1_000_000)

    def now_us(self) -> int:
        """Return the moment, microseconds since the Unix epoch."""
        return self._us


class Keeper:
    """One contestant, with a snapshot at a given time, a night's thinning, and restores."""

    def __init__(self, peer: Contestant) -> None:
        self.peer = peer

    def snapshot(self, moment: datetime.datetime) -> None:
        """Take a snapshot that bears this time."""
        raise NotImplementedError

    def thin(self, moment: datetime.datetime) -> Usage:
        """Apply the policy and collect."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The snapshots that are left, oldest first."""
        raise NotImplementedError

    def restore(self, name: str, target: Path) -> Usage:
        """Restore one of them into an empty directory."""
        raise NotImplementedError


class KeeperPal(Keeper):
    """palatine: snapshots through the library, which takes a clock; what is timed through pal."""

    def _open(self, moment: datetime.datetime | None = None) -> palatine.Repository:
        cache = self.peer.base / "cache" / "palatine"
        clock = At(moment) if moment else Clock()
        return palatine.open_repository(self.peer.repository, cache=cache, clock=clock)

    def snapshot(self, moment: datetime.datetime) -> None:
        """Take a snapshot that bears this time."""
        with self._open(moment) as repository:
            repository.snapshot(self.peer.source, palace="palaces")

    def thin(self, moment: datetime.datetime) -> Usage:
        """Apply the policy, which is stored in the repository, and collect."""
        assert isinstance(self.peer, Palatine)
        with self._open() as repository:
            repository.set_policy(SUGGESTED)
        return self.peer.run([self.peer.pal("gc", "-q")], self.peer.base)

    def names(self) -> list[str]:
        """The snapshots that are left, oldest first."""
        with self._open() as repository:
            return [one.id.hex() for one in reversed(repository.log())]

    def restore(self, name: str, target: Path) -> Usage:
        """Restore one of them into an empty directory."""
        assert isinstance(self.peer, Palatine)
        return self.peer.run([self.peer.pal("restore", "-q", name, str(target))], self.peer.base)

    def chains(self) -> dict[str, float]:
        """How many deltas have to be applied for an object: on average, and at most."""
        with self._open() as repository:
            repository.store.refresh()
            stored = repository.store.catalog.query("SELECT id, base FROM objects")
            base = {object_id: below for object_id, below in stored if below}
        depths = []
        for object_id in base:
            at, depth = object_id, 0
            while at in base:
                at, depth = base[at], depth + 1
            depths.append(depth)
        return {"deltas": len(depths), "mean": fmean(depths or [0]), "most": max(depths, default=0)}

    def only_kept(self, work: Path) -> int:
        """Bytes of a repository in which only the snapshots that are left were ever made."""
        again = work / "only-kept"
        palatine.init(again)
        place = work / "as-it-was"
        with self._open() as repository, palatine.open_repository(again, cache=work / "c") as other:
            for name in self.names():
                shutil.rmtree(place, ignore_errors=True)
                repository.restore(name, place)
                other.snapshot(place, palace="palaces")
        return bytes_in(again)


class KeeperRestic(Keeper):
    """restic: `backup --time`, `forget --prune`."""

    def snapshot(self, moment: datetime.datetime) -> None:
        """Take a snapshot that bears this time."""
        when = moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        command = ["restic", "backup", "-q", "--host", "race", "--time", when, "."]
        self.peer.run([command], self.peer.source)

    def thin(self, moment: datetime.datetime) -> Usage:
        """Apply the policy and collect."""
        return self.peer.run([["restic", "forget", "-q", "--prune", *FLAGS]], self.peer.base)

    def names(self) -> list[str]:
        """The snapshots that are left, oldest first."""
        self.peer.run([["restic", "snapshots", "--json"]], self.peer.base)
        found = json.loads((self.peer.base / "stdout").read_text())
        return [one["id"] for one in sorted(found, key=lambda one: one["time"])]

    def restore(self, name: str, target: Path) -> Usage:
        """Restore one of them into an empty directory."""
        return self.peer.run([["restic", "restore", "-q", name, "--target", str(target)]], target)


class KeeperBorg(Keeper):
    """borg: `create --timestamp`, `prune` and `compact`."""

    def snapshot(self, moment: datetime.datetime) -> None:
        """Take a snapshot that bears this time."""
        when = moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
        command = ["borg", "create", "-C", "zstd,3", "--timestamp", when, f"::{when}", "."]
        self.peer.run([command], self.peer.source)

    def thin(self, moment: datetime.datetime) -> Usage:
        """Apply the policy and collect."""
        return self.peer.run([["borg", "prune", *FLAGS], ["borg", "compact"]], self.peer.base)

    def names(self) -> list[str]:
        """The snapshots that are left, oldest first."""
        self.peer.run([["borg", "list", "--short"]], self.peer.base)
        return (self.peer.base / "stdout").read_text().split()

    def restore(self, name: str, target: Path) -> Usage:
        """Restore one of them into an empty directory."""
        return self.peer.run([["borg", "extract", f"::{name}"]], target)


KEEPERS: dict[type[Contestant], type[Keeper]] = {
    Palatine: KeeperPal,
    Restic: KeeperRestic,
    Borg: KeeperBorg,
}


def main() -> int:
    """Live the days, then measure the last night; 1 if a restored palace is not what it was."""
    arguments = _arguments()
    with ExitStack() as stack:
        work = arguments.work
        if not (arguments.until or _Lived.is_at(work)):
            work = stack.enter_context(TemporaryDirectory(dir=work, prefix="thinning-"))
        lived = _Lived.begun(Path(work), arguments)
        keepers = _keepers(lived, arguments.only)
        nights = _live(keepers, lived, arguments)
        if arguments.until:
            return 0
        result = _measured(keepers, lived)
    for name, timed in nights.items():
        result[name]["nights"] = timed
    result |= {"days": lived.days, "megabytes": lived.megabytes, "policy": KEEP}
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "thinning.json").write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result["differences"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--nights", type=int, default=7, help="of which so many are timed")
    parser.add_argument("--out", type=Path, help="directory for thinning.json")
    parser.add_argument("--work", type=Path, help="where to work (default: the system's temporary)")
    parser.add_argument("--gate", type=Path, help="wait for this file before anything is timed")
    parser.add_argument("--until", type=int, metavar="DAY", help="stop after it; needs --work")
    parser.add_argument("--only", action="append", help="a contestant (default: all)")
    arguments = parser.parse_args()
    if arguments.until and not arguments.work:
        parser.error("--until needs --work: that is where a later run goes on")
    return arguments


@dataclass
class _Lived:
    """How far a run has come: `hour` of so many `days`, the first of which began at `first`."""

    work: Path
    first: datetime.datetime
    days: int
    megabytes: float
    hour: int = 0

    @property
    def source(self) -> Path:
        """The palaces."""
        return self.work / "palaces"

    @staticmethod
    def is_at(work: Path | None) -> bool:
        """Whether a run was left there."""
        return work is not None and (work / LIVED).exists()

    @classmethod
    def begun(cls, work: Path, arguments: argparse.Namespace) -> _Lived:
        """Begin a run there, or go on with the one that was left there."""
        if cls.is_at(work):
            told = json.loads((work / LIVED).read_text())
            first = datetime.datetime.fromisoformat(told.pop("first"))
            lived = cls(work, first, **told)
        else:
            now = datetime.datetime.now().astimezone().replace(minute=30, second=0, microsecond=0)
            first = now - datetime.timedelta(hours=24 * arguments.days)
            lived = cls(work, first, arguments.days, arguments.megabytes)
        if not lived.source.exists():
            lived.source.mkdir(parents=True)
            palaces.create(lived.source, SEED, lived.megabytes)
        return lived

    def live(self) -> datetime.datetime:
        """Live one hour; return when it ends."""
        self.hour += 1
        palaces.live_a_day(self.source, SEED, self.hour, 1 / 24)
        return self.first + datetime.timedelta(hours=self.hour)

    def save(self) -> None:
        """Note for a later run how far this one has come."""
        told = {"first": self.first.isoformat(), "days": self.days}
        told |= {"megabytes": self.megabytes, "hour": self.hour}
        (self.work / LIVED).write_text(json.dumps(told) + "\n")


def _keepers(lived: _Lived, only: list[str] | None) -> dict[str, Keeper]:
    keepers: dict[str, Keeper] = {}
    for kind, keeper in KEEPERS.items():
        if only and kind.name not in only:
            continue
        if not kind.version():
            print(f"NOT HERE: {kind.name}", file=sys.stderr)
            continue
        peer = kind(lived.work / kind.name, lived.source)
        if not peer.base.exists():
            peer.base.mkdir()
            peer.init()
        keepers[kind.name] = keeper(peer)
    return keepers


def _live(
    keepers: dict[str, Keeper], lived: _Lived, arguments: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Live hour by hour up to now; thin each night, and return what the last ones took."""
    nights: dict[str, list[dict[str, Any]]] = {name: [] for name in keepers}
    until = arguments.until or lived.days
    while lived.hour < 24 * until:
        moment = lived.live()
        _each(keepers, lambda keeper, at=moment: keeper.snapshot(at))  # type: ignore[misc]
        if lived.hour % 24:
            continue
        day = lived.hour // 24
        print(f"day {day}", file=sys.stderr)
        if day <= lived.days - arguments.nights:
            _each(keepers, lambda keeper, at=moment: keeper.thin(at))  # type: ignore[misc]
            continue
        _wait(arguments.gate)
        for name, keeper in keepers.items():
            settle(keeper.peer.repository)
            before = keeper.peer.size()
            used = keeper.thin(moment)
            nights[name].append({"before": before, "after": keeper.peer.size()} | vars(used))
    if arguments.until:
        lived.save()
    return nights


def _wait(gate: Path | None) -> None:
    if gate is not None and not gate.exists():
        print(f"waiting for {gate}", file=sys.stderr)
        while not gate.exists():
            Clock().sleep(0.5)


def _each(keepers: dict[str, Keeper], act: Callable[[Keeper], Any]) -> None:
    """Let everybody do something at once: none of this is timed."""
    with ThreadPoolExecutor(len(keepers)) as pool:
        for _ in pool.map(act, keepers.values()):
            pass


def _measured(keepers: dict[str, Keeper], lived: _Lived) -> dict[str, Any]:
    """Return what is left of each, and what restores of it take, one after the other."""
    result: dict[str, Any] = {"differences": []}
    expected = manifest(lived.source)
    for name, keeper in keepers.items():
        names = keeper.names()
        row: dict[str, Any] = {"kept": len(names), "size": keeper.peer.size()}
        for which, one in (("oldest", names[0]), ("newest", names[-1])):
            target = lived.work / f"{name}-{which}"
            target.mkdir()
            settle(keeper.peer.repository)
            row[which] = vars(keeper.restore(one, target))
            if which == "newest":
                found = differences(expected, manifest(target))
                result["differences"] += [f"{name}: {line}" for line in found]
        if isinstance(keeper, KeeperPal):
            row["chains"] = keeper.chains()
            row["verified"] = vars(keeper.peer.verify())
            row["only kept"] = keeper.only_kept(lived.work)
        result[name] = row
    return result


if __name__ == "__main__":
    sys.exit(main())
