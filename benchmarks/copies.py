"""What copies in other places cost: `pal push` beside a raw copy, rsync, restic copy and rclone.

    python benchmarks/copies.py --megabytes 954 --rounds 3 --days 3 --out docs/benchmarks

The other host is an sshd on loopback. All targets are on the same disk as the sources.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pages
import palatine
from copiers import (
    PYTHONPATH,
    Copier,
    Pal,
    Push,
    PushHere,
    Rclone,
    ResticCopy,
    Rsync,
    raw,
    serve_pal,
)
from copies_table import SNAPSHOTS, Sample, section
from facts import facts
from measure import NOTHING, Command, Usage, measure, settle
from palatine.testing import palaces, sshd
from palatine.testing.sshd import Sshd, travelled
from peers import Contestant, Restic
from stages import say
from trees import bytes_in, files_below

SEED = 7
COPIERS: tuple[type[Copier], ...] = (Push, PushHere, Rsync, ResticCopy, Rclone)


class Copies:
    """Runs the steps and collects their samples."""

    def __init__(self, work: Path, host: Sshd, options: argparse.Namespace) -> None:
        self.work = work
        self.host = host
        self.options = options
        self.samples: list[Sample] = []
        self._turn = 0

    def palaces(self) -> None:
        """First copies, by turns; then some days, and after each that there is nothing to do."""
        source = self.work / "palaces"
        say(f"making palaces of {self.options.megabytes:g} MB")
        palaces.create(source, SEED, self.options.megabytes)
        pal, restic = Pal(self.work / "pal", source), Restic(self.work / "restic", source)
        copiers = self._copiers(pal, restic)
        keepers: list[Contestant] = [pal]
        if any(one.keeper is restic for one in copiers):
            keepers.append(restic)
        for keeper in keepers:
            keeper.init()
            keeper.snapshot("0")
        for number in range(self.options.rounds):
            for copier in self._turned(copiers):
                old = copier.target
                copier.begin(number)
                self._copy("first", copier)
                if old.exists():
                    shutil.rmtree(old)
            self._raw(pal)
        for day in range(1, self.options.days + 1):
            palaces.live_a_day(source, SEED, day)
            added = {id(keeper): self._kept(keeper, str(day)) for keeper in keepers}
            for step in ("day", "nothing"):
                for copier in self._turned(copiers):
                    new = added[id(copier.keeper)] if copier.keeps and step == "day" else -1
                    self._copy(step, copier, new)
        for copier in copiers:
            if isinstance(copier, Push):  # which must be as good as what it was copied from
                words = [pal.pal()[0], "verify", "-q", "--data", "--repo", str(copier.target)]
                pal.run([words], pal.base)

    def nothing(self) -> None:
        """Push, pull and sync of a repository of many small snapshots that the far side has."""
        base = self.work / "many"
        repository = _many(base)
        pal = Pal(base, base / "none")
        pal.repository = repository
        log = base / "counted.log"
        there = str(self.host.root / "home" / "many")
        pal.run([pal.pal("init", "-q", "--repo", there)], base)
        url = f"ssh://far{there}"
        with self._master() as mux:
            variables = {**pal.all_variables(), "PALATINE_SSH": self.host.counted(log)}
            measure(Command(tuple(pal.pal("push", "-q", url)), base, variables), base)
            for _ in range(self.options.starts):
                for way, ssh in (("", self.host.ssh), (", connected", mux)):
                    bare = Command((*shlex.split(ssh), "far", "true"), base, dict(os.environ))
                    self._sample("nothing-500", f"ssh host true{way}", measure(bare, base))
                    for verb in ("push", "pull", "sync"):
                        command = Command(
                            tuple(pal.pal(verb, "-q", url)),
                            base,
                            {**variables, "PALATINE_SSH": ssh},
                        )
                        self._sample("nothing-500", f"pal {verb}{way}", measure(command, base))
            for verb in ("push", "pull", "sync"):
                log.unlink()
                measure(Command(tuple(pal.pal(verb, "-q", url)), base, variables), base)
                self._sample("nothing-500-bytes", f"pal {verb}", NOTHING, travelled(log))

    def _copiers(self, pal: Pal, restic: Restic) -> list[Copier]:
        found: list[Copier] = []
        for kind in COPIERS:
            if kind.name not in self.options.copiers:
                continue
            if kind.version() is None:
                say(f"NOT HERE: {kind.name}: it takes no part")
                continue
            keeper = restic if kind is ResticCopy else pal
            found.append(kind(keeper, self.host, self.host.root / "home"))
        return found

    def _copy(self, step: str, copier: Copier, added: int = -1) -> None:
        settle(copier.keeper.repository if copier.keeps else copier.keeper.source)
        usage, size = copier.copy()
        self._sample(step, copier.name, usage, size, added)

    def _raw(self, pal: Pal) -> None:
        """Copy as many bytes as the repository has, as one file."""
        one, target = self.work / "one-file", self.work / "raw"
        with one.open("wb") as file:
            for entry in files_below(pal.repository):
                file.write(Path(entry.path).read_bytes())
        size = one.stat().st_size
        for name, host in (("raw copy", self.host), ("raw copy to a path", None)):
            settle(self.work / "pal")
            self._sample("first", name, raw(host, one, target, self.work), size)
            target.unlink()
        one.unlink()

    def _kept(self, keeper: Contestant, label: str) -> int:
        before = keeper.size()
        keeper.snapshot(label)
        return keeper.size() - before

    def _turned(self, copiers: list[Copier]) -> list[Copier]:
        self._turn += 1
        at = self._turn % len(copiers)
        return copiers[at:] + copiers[:at]

    def _sample(self, step: str, name: str, usage: Usage, size: int = -1, added: int = -1) -> None:
        self.samples.append(Sample(step, name, usage, size, added))
        say(f"{step}: {name}: {usage.wall:.3f} s, {size:,} bytes, {added:,} added")

    @contextlib.contextmanager
    def _master(self) -> Iterator[str]:
        """Keep a connection open, as ControlMaster and ControlPersist do; yield the command."""
        root = self.host.root
        config = root / "config.master"
        config.write_text(
            (root / "config").read_text()
            + f" ControlMaster auto\n ControlPath {root / 'master'}\n ControlPersist 600\n"
        )
        ssh = f"ssh -F {config}"
        command = (*shlex.split(ssh), "far", "true")
        measure(Command(command, root, dict(os.environ)), root)
        try:
            yield ssh
        finally:
            measure(Command((*command[:-2], "-O", "exit", "far"), root, dict(os.environ)), root)


def _many(base: Path) -> Path:
    """Make a repository of many snapshots of eight small palaces, and return where it is."""
    say(f"making {SNAPSHOTS} snapshots")
    for folder in ("home", "cache"):
        (base / folder).mkdir(parents=True)
    palatine.init(base / "repository")
    with palatine.open_repository(base / "repository", cache=base / "cache") as repository:
        for number in range(SNAPSHOTS):
            palace = base / f"palace{number % 8}"
            palace.mkdir(exist_ok=True)
            (palace / "note").write_text(f"note {number}\n")
            repository.snapshot(palace, tags=["keep"] if number % 50 == 0 else [])
    return base / "repository"


def main() -> int:
    """Measure; 1 if a limit is missed."""
    options = _arguments()
    work = Path(tempfile.mkdtemp(prefix="copies-", dir=options.work))
    try:
        root = work / "far"
        serve_pal(root)
        sshd.make_keys(root)
        home = root / "home"
        variables = {**PYTHONPATH, "XDG_CACHE_HOME": home / "cache", "XDG_CONFIG_HOME": home}
        with sshd.running(root, variables) as host:
            copies = Copies(work, host, options)
            for step in options.only:
                getattr(copies, step)()
        source = work / "palaces"
        known = facts() | {
            "megabytes": options.megabytes,
            "source": bytes_in(source) if source.exists() else 0,
            "rounds": options.rounds, "days": options.days,
            "peers": {
                one.name: {"version": one.version(), "settings": one.settings}
                for one in COPIERS if one.name in options.copiers
            },
        }  # fmt: skip
    finally:
        shutil.rmtree(work)
    text = section(copies.samples, known)
    print(text)
    if options.out:
        results = known | {"samples": [asdict(one) for one in copies.samples]}
        (options.out / "copies.json").write_text(json.dumps(results, indent=1) + "\n")
        pages.write(options.out.with_suffix(".md"), text, ("Copies",))
    return int("**MISS**" in text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=954, help="size of the palaces")
    names = [one.name for one in COPIERS]
    parser.add_argument("--copiers", choices=names, nargs="+", default=names, help="who copies")
    parser.add_argument("--rounds", type=int, default=3, help="first copies")
    parser.add_argument("--days", type=int, default=3, help="days that are copied")
    parser.add_argument("--starts", type=int, default=10, help="runs with nothing to do")
    parser.add_argument("--work", type=Path, help="a directory for 9 times as many bytes")
    parser.add_argument("--out", type=Path, help="directory for results (its .md is beside it)")
    steps = ["palaces", "nothing"]
    parser.add_argument("--only", choices=steps, nargs="+", default=steps)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
