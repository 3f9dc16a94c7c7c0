"""Secrets in a directory: in files, names, links, attributes and histories, replaced in place.

The directory is a private copy, which nobody else looks at. Modes and times stay what they were.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from palatine.events import SILENT, Reporter
from palatine.fsio import remove_tree
from palatine.redact import git, names
from palatine.redact.blobs import Hidden
from palatine.redact.contents import Contents
from palatine.redact.place import Place, is_repository, is_sidecar, remove_sidecars
from palatine.redact.report import History, LeftOut, Report
from palatine.redact.scrub import Scrubber, Tally

_GIT = b".git"
_OTHER_HISTORIES = {b".hg", b".bzr", b"_darcs", b".pijul"}
"""Compressed, and read by their own programs only."""


@dataclass(frozen=True)
class Options:
    """What is wanted: further rules (NAME=REGEX), git history kept, only counted."""

    rules: tuple[str, ...] = ()
    keep_git_history: bool = False
    dry_run: bool = False


def redact_tree(
    directory: Path, options: Options, scratch: Path, reporter: Reporter = SILENT
) -> Report:
    """Replace every secret in a private copy of a palace, and say what was found and left out.

    `scratch` is a private directory on a disk with room for the largest database, twice; what is
    written there holds secrets, and is removed. Raises UsageError for a rule that is none, OSError
    when the copy cannot be walked.
    """
    tree = _Tree(directory, options, scratch, reporter)
    reporter.begin("redact")
    try:
        tree.walk()
    finally:
        reporter.end()
    return tree.report


class _Tree:
    def __init__(self, top: Path, options: Options, scratch: Path, reporter: Reporter) -> None:
        self._scrubber = Scrubber(options.rules)
        self.report = Report(rules=self._scrubber.names, dry_run=options.dry_run)
        self._top = os.fsencode(top)
        self._options = options
        self._scratch = scratch
        self._reporter = reporter
        self._contents = Contents(self._scrubber, scratch)
        self._linked: dict[tuple[int, int], bool] = {}
        """Files with several names that were met: whether they are left out."""

    def walk(self) -> None:
        """Visit every directory, what lies below one before the names in it."""
        pending = [self._visit(Place(self._top, ".", False))]
        while pending:
            below = next(pending[-1], None)
            if below is None:
                pending.pop()
            else:
                pending.append(self._visit(below))

    def _visit(self, directory: Place) -> Iterator[Place]:
        """Scrub a directory; yield those in it that have to be visited first."""
        facts = os.lstat(directory.path)
        if not self._options.dry_run:
            os.chmod(directory.path, stat.S_IMODE(facts.st_mode) | stat.S_IRWXU)
        with os.scandir(directory.path) as listing:
            entries = sorted((one.name, one.is_dir(follow_symlinks=False)) for one in listing)
        searched = directory.in_git and is_repository(directory.path)
        for name, is_directory in entries:
            place = self._below(directory, name)
            if not is_directory:
                self._leaf(place)
            elif searched and name == b"objects":
                continue
            elif name in _OTHER_HISTORIES:
                self._leave_out(place, "holds a history that is not git's")
            elif (name == _GIT and not directory.in_git) or is_repository(place.path):
                yield from self._repository(place)
            else:
                yield place
        for name, _ in entries:
            self._name(directory, name)
        if (_GIT, True) in entries and not directory.in_git:
            self._renew(directory)
        self._attributes(directory)
        if not self._options.dry_run:
            os.chmod(directory.path, stat.S_IMODE(facts.st_mode))
            os.utime(directory.path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    def _below(self, directory: Place, name: bytes) -> Place:
        shown = os.fsdecode(names.scrub_path(self._scrubber, name))
        if directory.shown != ".":
            shown = f"{directory.shown}/{shown}"
        return Place(directory.path + b"/" + name, shown, directory.in_git)

    def _leaf(self, place: Place) -> None:
        if not os.path.lexists(place.path) or is_sidecar(place.path):
            return  # belongs to a database, which comes before it
        facts = os.lstat(place.path)
        tally: Tally = Counter()
        left_out = False
        if place.name == _GIT and not (place.in_git or self._options.keep_git_history):
            self._leave_out(place, "leads to a git repository, and histories are left out")
        elif stat.S_ISLNK(facts.st_mode):
            names.scrub_link(self._scrubber, place.path, tally, self._options.dry_run)
        elif stat.S_ISREG(facts.st_mode):
            left_out = self._regular(place, facts, tally)
            self._reporter.advance(facts.st_size, place.shown)
        self.report.add(place.shown, tally)
        if not left_out:
            self._attributes(place)

    def _regular(self, place: Place, facts: os.stat_result, tally: Tally) -> bool:
        """Scrub a file, once for all its names; return whether it is left out."""
        inode = facts.st_dev, facts.st_ino
        if inode in self._linked:
            if self._linked[inode]:
                self._leave_out(place, "is another name of something that is left out")
            return self._linked[inode]
        try:
            left_out = self._file(place, facts, tally)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            self.report.unprocessed.append(LeftOut(place.shown, reason))
            return False
        if facts.st_nlink > 1:
            self._linked[inode] = left_out
        self.report.files += not left_out
        return left_out

    def _file(self, place: Place, facts: os.stat_result, tally: Tally) -> bool:
        if not facts.st_size:
            return False
        path = Path(os.fsdecode(place.path))
        if not self._options.dry_run:
            path.chmod(stat.S_IMODE(facts.st_mode) | stat.S_IRUSR | stat.S_IWUSR)
        try:
            with self._contents.scrubbed(path, place.name, tally) as new:
                if new is not None and not self._options.dry_run:
                    remove_sidecars(place.path)
                    shutil.copyfile(new, path)
                self._say(place.shown)
        except Hidden as reason:
            words = self._words(str(reason))
            if not place.in_git:
                self._leave_out(place, words)
                return True
            self.report.unprocessed.append(LeftOut(place.shown, words))
        if not self._options.dry_run:
            path.chmod(stat.S_IMODE(facts.st_mode))
            os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return False

    def _say(self, shown: str) -> None:
        for note in self._contents.notes:
            self.report.notes.append(LeftOut(shown, self._words(note)))
        for (place, reason), number in sorted(self._contents.emptied.items()):
            words = f"{number} values emptied, each of which {reason}"
            self.report.left_out.append(LeftOut(f"{shown}!{self._words(place)}", words))

    def _words(self, text: str) -> str:
        return self._scrubber.scrub(text, Counter())

    def _leave_out(self, place: Place, reason: str) -> None:
        self.report.left_out.append(LeftOut(place.shown, reason))
        self._reporter.notice(f"{place.shown} is left out: it {reason}")
        if not self._options.dry_run:
            if os.path.isdir(place.path) and not os.path.islink(place.path):
                remove_tree(Path(os.fsdecode(place.path)))
                return
            remove_sidecars(place.path)
            os.unlink(place.path)

    def _attributes(self, place: Place) -> None:
        tally: Tally = Counter()
        try:
            names.scrub_attributes(self._scrubber, place.path, tally, self._options.dry_run)
        except OSError as error:
            reason = f"has an attribute that cannot be written: {error.strerror}"
            self.report.unprocessed.append(LeftOut(place.shown, reason))
        self.report.add(place.shown, tally)

    def _name(self, directory: Place, name: bytes) -> None:
        tally: Tally = Counter()
        place = self._below(directory, name)
        if not os.path.lexists(place.path):
            return
        new = names.rename_entry(self._scrubber, directory.path, name, tally)
        if new is None:
            return
        self.report.add(place.shown, tally)
        if directory.in_git:
            self.report.unprocessed.append(LeftOut(place.shown, "has a secret in its name"))
        elif not self._options.dry_run:
            names.move(directory.path, name, new)

    def _repository(self, place: Place) -> Iterator[Place]:
        """Search a repository that is to be kept; let go of one that is all history."""
        path = Path(os.fsdecode(place.path))
        if self._options.keep_git_history:
            found = git.search(path, place.shown, self._contents, self._scratch)
            self.report.histories.append(found)
            yield place._replace(in_git=True)
        elif place.name != _GIT:
            detail = "it has no work tree: nothing of it is left"
            self.report.histories.append(History(place.shown, "removed", 0, detail))
            self._leave_out(place, "is a git repository without a work tree")

    def _renew(self, directory: Place) -> None:
        """Put a repository without history where one with history was."""
        if self._options.keep_git_history:
            return
        path = Path(os.fsdecode(directory.path))
        detail = "one commit of what was tracked stands for it"
        if not self._options.dry_run:
            detail = git.renew(path / ".git", path, self._scratch, self._renamed)
        shown = self._below(directory, _GIT).shown
        self.report.histories.append(History(shown, "removed", 0, detail))

    def _renamed(self, path: bytes) -> bytes:
        return names.scrub_path(self._scrubber, path)
