"""A JSON file that both sides changed: merged item by item, on the file as it is now."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from palatine import fsio
from palatine.restore.merge.items import Items, NotMergeable
from palatine.restore.merge.jsons import parse
from palatine.restore.merge.report import Conflict, Counts, Report, Why, Winner

_TRIES = 10


class Listing:
    """One such file. `path` is its path in the palace, for the report."""

    def __init__(self, path: bytes, live: Path, names: bool, prefer: Winner) -> None:
        self._path = path
        self._live = live
        self._names = names
        self._prefer = prefer

    def merge(self, theirs: bytes, base: bytes | None, report: Report, staged: Path | None) -> None:
        """Merge into the file, by way of `staged` (None: only say what would be done).

        When somebody writes to the file meanwhile, what was written is merged with.
        """
        for _ in range(_TRIES):
            try:
                ours = self._live.read_bytes()
            except FileNotFoundError:
                break
            counts, conflicts = Counts(self._path, ""), list[Conflict]()
            merged = self._merged((ours, theirs, base), counts, conflicts)
            if staged is None or merged == ours or self._replace(ours, merged, staged):
                report.counts.append(counts)
                for one in conflicts:
                    report.conflicts.add(one)
                return
        words = "it went away, or went on changing"
        report.conflicts.add(self._conflict("", Why.MEANWHILE, words))

    def _merged(
        self, sides: tuple[bytes, bytes, bytes | None], counts: Counts, conflicts: list[Conflict]
    ) -> bytes:
        """Return the text the file shall have; ours where it cannot be merged."""
        ours, theirs, base = sides

        def tell(key: str, why: Why) -> bool:
            conflicts.append(self._conflict(key, why, won=self._prefer))
            return self._prefer == "theirs"

        try:
            return Items(self._names, counts, tell).merge(ours, theirs, base)
        except NotMergeable:
            counts.conflicting, counts.updated = 1, int(self._prefer == "theirs")
            return theirs if tell("", Why.BOTH) else ours
        except ValueError:
            counts.conflicting = 1
            for where, data in (("here", ours), ("in the snapshot", theirs)):
                try:
                    parse(data)
                except ValueError as error:
                    words = f"{where} it is no JSON: {error}"
                    conflicts.append(self._conflict("", Why.UNREADABLE, words))
            return ours

    def _replace(self, ours: bytes, merged: bytes, staged: Path) -> bool:
        """Put a text in the place of the one that was merged with; False if that has changed."""
        staged.parent.mkdir(exist_ok=True)
        staged.write_bytes(merged)
        status = self._live.stat()
        if os.geteuid() == 0:
            os.chown(staged, status.st_uid, status.st_gid)
        shutil.copystat(self._live, staged)
        os.utime(staged)
        with staged.open("rb") as file:
            fsio.sync_data(file.fileno())
        if self._live.read_bytes() != ours:
            return False
        fsio.rename(staged, self._live)
        return True

    def _conflict(self, key: str, why: Why, words: str = "", won: Winner = "") -> Conflict:
        decided: Winner = won or ("ours" if self._prefer == "ours" else "")
        return Conflict(self._path, "", key, why.value, words, decided)
