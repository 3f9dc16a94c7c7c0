"""What `import palatine` offers: a repository with a method for each verb.

    import palatine

    with palatine.open_repository("~/memory-repository") as repository:
        done = repository.snapshot("~/.local/share/trusty-memory/palaces/alpha")
        for stored in repository.log("alpha"):
            print(stored.id.hex(), stored.snapshot.stats.size)
        repository.restore("alpha~1", "alpha-as-it-was")

Everything raises `palatine.PalatineError` and nothing else on purpose; see `palatine.errors`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from palatine.backends.urls import backend_at, is_url
from palatine.clock import SYSTEM, Clock
from palatine.errors import Exists, NoRepository, UsageError
from palatine.events import SILENT, Reporter
from palatine.ids import DIGESTS
from palatine.model.names import split_palace
from palatine.ops.defaults import (
    absolute,
)
from palatine.ops.defaults import (
    default_cache as default_cache,
)
from palatine.ops.defaults import (
    default_configuration as default_configuration,
)
from palatine.ops.defaults import (
    default_remotes as default_remotes,
)
from palatine.ops.defaults import (
    default_repository as default_repository,
)
from palatine.ops.palacelock import LOCK_TIMEOUT
from palatine.store.repository import Repository as Store
from palatine.store.repository import Settings

if TYPE_CHECKING:
    # Each verb imports what it needs in its body: together they take 0.15 s of a processor.
    from palatine.model.policy import Policy, Rules
    from palatine.ops import browse, history, synchronise
    from palatine.ops import diff as diff_op
    from palatine.ops import forget as forget_op
    from palatine.ops import gc as gc_op
    from palatine.ops import keep as keep_op
    from palatine.ops import reindex as reindex_op
    from palatine.ops import remotes as remotes_op
    from palatine.ops import repair as repair_op
    from palatine.ops import snapshot as snapshot_op
    from palatine.ops import stats as stats_op
    from palatine.ops import verify as verify_op
    from palatine.ops.exchange import Options as CopyOptions
    from palatine.ops.exporting import Exported
    from palatine.ops.exporting import Request as ExportRequest
    from palatine.ops.intake import Imported
    from palatine.ops.intake import Request as ImportRequest
    from palatine.ops.planning import Planned
    from palatine.ops.restoring import Prefer, Request, Restored
    from palatine.ops.verify_file import FileReport
    from palatine.store.forgotten import Forgotten
    from palatine.store.snapshots import Stored
    from palatine.sync.serving import Terms as ServeTerms
    from palatine.sync.wire import Channel

PathLike = str | os.PathLike[str]

ORIGIN = "origin"
"""The remote that `clone` makes."""


def init(location: PathLike, hash: str = DIGESTS[0], *, reporter: Reporter = SILENT) -> None:
    """Make an empty repository; `hash` is blake3 or sha256 and cannot be changed later.

    The location is a directory or the URL of an object store (s3://BUCKET/PREFIX, gs://, az://).
    Raises Exists when there is one, or when the directory holds something else.
    """
    place = locate(location)
    if isinstance(place, Path):
        _check_free(place)
    from palatine.store.probe import heeds_create

    with closing(backend_at(place)) as backend:
        Store.create(backend, hash)
        if not isinstance(place, Path) and not heeds_create(backend):
            reporter.notice(
                f"the store at {place} does not heed put-if-absent:"
                " gc will need --exclusive, and nobody else beside it"
            )


def _check_free(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise Exists(f"{path} is a file", "name a directory")
    if path.is_dir() and not (path / "config").exists() and any(path.iterdir()):
        raise Exists(f"{path} is not empty and not a repository", "name another directory")


def open_repository(
    location: PathLike | None = None,
    *,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
    settings: Settings | None = None,
    clock: Clock = SYSTEM,
) -> Repository:
    """Open a repository: a directory or a URL, see `init`; the default one without a location.

    Raises NoRepository, FormatTooNew, Malformed, ReadOnly, UsageError for another kind of URL.
    """
    place = default_repository() if location is None else locate(location)
    directory = default_cache() if cache is None else absolute(cache)
    if isinstance(place, Path) and place.is_file():
        raise NoRepository(f"{place} is a file, not a repository", "name a directory")
    return Repository(Store(backend_at(place, clock), directory, settings, reporter, clock))


def discover(*roots: PathLike, reporter: Reporter = SILENT) -> list[Planned]:
    """Return the palaces below data roots, as `snapshot --all` takes them; needs no repository.

    Raises PathNotFound, UsageError.
    """
    from palatine.ops import planning

    found = planning.discover([absolute(root) for root in roots], (), reporter)
    return planning.plan(found, None, reporter)


def verify_bundle(
    request: ImportRequest | PathLike,
    *,
    check: bool = False,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
) -> FileReport:
    """Check a bundle without a repository; `check` has SQLite check the databases in it.

    Damage is in the report, not raised. Raises PathNotFound, SourceError, UsageError, Refused.
    """
    from palatine.ops.verify_file import verify_file

    directory = default_cache() if cache is None else absolute(cache)
    return verify_file(_import_request(request), directory, check, reporter)


def restore_bundle(
    request: ImportRequest | PathLike,
    how: PathLike | Request,
    *,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
) -> tuple[Restored, Imported]:
    """Put a bundle into a new or empty directory; needs no repository.

    Raises Exists, PathNotFound, UsageError, NoKey, Damaged, Malformed, Refused, NoSpace.
    """
    from palatine.ops.restore_file import restore_file
    from palatine.ops.restoring import Request
    from palatine.ops.temporary import Terms

    terms = Terms(default_cache() if cache is None else absolute(cache), reporter=reporter)
    wanted = how if isinstance(how, Request) else Request(absolute(how))
    return restore_file(None, _import_request(request), wanted, terms)


def clone(  # noqa: PLR0913 - keywords, as of open_repository
    url: str,
    location: PathLike,
    options: CopyOptions | None = None,
    *,
    cache: PathLike | None = None,
    reporter: Reporter = SILENT,
    settings: Settings | None = None,
    remotes: PathLike | None = None,
) -> synchronise.Result:
    """Make a repository with the snapshots of another one, which becomes its remote `origin`.

    Interrupted, `pull` goes on. Raises Exists, NoRepository, Refused.
    """
    from palatine.ops import peers
    from palatine.ops import remotes as remotes_op
    from palatine.ops.exchange import Options as CopyOptions

    directory = default_cache() if cache is None else absolute(cache)
    surroundings = peers.Surroundings(directory, settings, reporter)
    remote = remotes_op.absolute(remotes_op.Remote(url))
    ssh = (options or CopyOptions()).ssh
    with peers.opened(remote, surroundings, ssh) as peer:
        init(location, peer.identity.digest)
    with open_repository(location, cache=cache, reporter=reporter, settings=settings) as repository:
        known = repository.remotes(remotes)
        known.add(ORIGIN, remote)
        return repository.pull(ORIGIN, options, remotes=remotes)


class Repository:
    """An open repository. Use it as a context manager, or close it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def location(self) -> str:
        """Where the repository is, as people write it."""
        return self.store.backend.location

    def plan(
        self, paths: Sequence[PathLike], *, palace: str | None = None, all: bool = False
    ) -> list[Planned]:
        """Return which palaces `snapshot` would take of these paths, and their names.

        With `all`, each path is a data root: the layouts say which palaces are below it.
        Raises PathNotFound, UsageError.
        """
        from palatine.ops import planning
        from palatine.ops.places import avoided

        sources = [absolute(path) for path in paths]
        if all:
            sources = planning.discover(sources, avoided(self.store), self.store.reporter)
        return planning.plan(sources, palace, self.store.reporter)

    def snapshot(  # noqa: PLR0913 - keywords, one for each flag of the command
        self,
        path: PathLike,
        *,
        palace: str | None = None,
        message: str = "",
        tags: Sequence[str] = (),
        excludes: Sequence[str] = (),
        unsafe_files: bool = False,
        force: bool = False,
        check: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> snapshot_op.Done:
        """Snapshot one palace: a directory or one database file.

        `excludes` are patterns as in a .gitignore. Nothing changed: no new snapshot (see
        `Done.fresh`) unless `force`. `check` has SQLite check the databases (`Done.damaged`).
        `lock_timeout` is how many seconds another snapshot of the palace is waited for.
        Raises NameTaken, Refused, PathNotFound, SourceError, Locked.
        """
        from palatine.capture.palace import Options
        from palatine.ops import keep, snapshot
        from palatine.ops.palacelock import Patience

        (planned,) = self.plan([path], palace=palace)
        request = snapshot.Request(
            planned.source, planned.tenant, planned.palace, planned.derived, message, tuple(tags),
            force, Options(tuple(excludes), unsafe_files), check,
        )  # fmt: skip
        return keep.keep(self.store, request, keep.Terms(Patience(lock_timeout)))

    def snapshot_planned(
        self,
        planned: Planned,
        request: snapshot_op.Request,
        terms: keep_op.Terms | None = None,
    ) -> snapshot_op.Done:
        """Snapshot a palace that `plan` found, with the other settings of a request.

        `terms` say how long the palace's lock is waited for, and which hooks are run.
        """
        from palatine.ops import keep

        chosen = replace(
            request, source=planned.source, tenant=planned.tenant, palace=planned.palace,
            derived=planned.derived,
        )  # fmt: skip
        return keep.keep(self.store, chosen, terms or keep.USUAL)

    def palaces(self) -> list[history.Palace]:
        """Return every palace with its newest snapshot, sorted by name."""
        from palatine.ops import history

        return history.palaces(self.store)

    def log(self, palace: str | None = None) -> list[Stored]:
        """Return the snapshots, of one palace or of all, newest first."""
        from palatine.ops import history

        return history.log(self.store, palace)

    def counts(self, revision: str) -> dict[str, int]:
        """Return how many entries of each sort a snapshot holds, as its system counts them.

        Raises SourceError when a database in it cannot be read.
        """
        from palatine.ops import counts

        return counts.counts(self.store, self.resolve(revision))

    def resolve(self, revision: str) -> Stored:
        """Return the snapshot that a revision without a path names.

        An id also names one that was forgotten, until gc has collected it; a notice says so.
        Raises UnknownRevision, AmbiguousRevision, UsageError.
        """
        found, is_forgotten = self._find(revision)
        if is_forgotten:
            short = found.id.hex()[:16]
            self.store.reporter.notice(
                f"{short} of {found.palace} was forgotten, and can be had until gc collects it: "
                f"pal tag {short} TAG brings it back"
            )
        return found

    def _find(self, revision: str) -> tuple[Stored, bool]:
        """Return the snapshot that a revision names, and whether it was forgotten."""
        from palatine.ops import revisions

        snapshots, now_us = self.store.list_snapshots(), self.store.clock.now_us()
        found = revisions.resolve(snapshots, revision, now_us, self.forgotten)
        return found, all(one.id != found.id for one in snapshots)

    def resolve_path(self, revision: str) -> tuple[Stored, str]:
        """Return the snapshot and the path (empty: its root) that REV or REV:PATH names."""
        from palatine.ops import revisions

        base, steps, path = revisions.split(revision)
        return self.resolve(base + steps), path or ""

    def is_revision(self, text: str) -> bool:
        """Whether a text names a snapshot that is here."""
        from palatine.ops import revisions

        return revisions.is_known(self.store.list_snapshots(), text)

    def ls(self, revision: str, *, recursive: bool = False) -> Iterator[browse.Listed]:
        """Yield what is in a directory of a snapshot: REV or REV:PATH."""
        from palatine.ops import browse

        stored, path = self.resolve_path(revision)
        return browse.ls(self.store, stored, path, recursive)

    def cat(self, revision: str) -> Iterator[bytes | bytearray]:
        """Yield the bytes of REV:PATH, some MiB at a time."""
        from palatine.ops import browse

        stored, path = self.resolve_path(revision)
        return browse.cat(self.store, stored, path)

    def find(self, pattern: str, palace: str | None = None) -> Iterator[browse.Found]:
        """Yield paths that match a glob, in each snapshot in which they are new or different."""
        from palatine.ops import browse

        return browse.find_paths(self.store, reversed(self.log(palace)), pattern)

    def diff(self, old: str, new: str) -> list[diff_op.Change]:
        """Return what changed from one revision to another."""
        from palatine.ops import diff

        return diff.diff(self.store, self.resolve(old), self.resolve(new))

    def diff_directory(self, old: str, directory: PathLike) -> list[diff_op.Change]:
        """Return what changed from a revision to a directory as it is now."""
        from palatine.ops import diff

        return diff.diff_directory(self.store, self.resolve(old), absolute(directory))

    def restore(  # noqa: PLR0913 - keywords, one for each flag of the command
        self,
        revision: str,
        target: PathLike,
        *,
        paths: Sequence[str | bytes] = (),
        kinds: Sequence[str] = (),
        replace: bool = False,
        live: bool = False,
        merge: bool = False,
        delete: bool = False,
        prefer: Prefer | None = None,
        as_name: str | None = None,
        outside: bool = False,
        dry_run: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> Restored:
        """Put a snapshot back, or some of it: into a new or empty directory, or over what is there.

        `replace` exchanges what is there, `live` changes it under a running service (`delete`: also
        removes what the snapshot lacks), `merge` adds what it lacks (`prefer`, "theirs" or "ours",
        decides conflicts). `paths` and `kinds` choose some of the snapshot; `as_name` gives a new
        copy a name of its own; with `outside` outside parts go to their recorded places. Where
        something is there, a snapshot of it is taken first (`Restored.before`; see `undo`).
        Raises Exists, Refused, Locked, PathNotFound, NoSpace, Damaged, SourceError, UsageError;
        what is there then is what was there.
        """
        from palatine.ops import restore
        from palatine.ops.restoring import Request, one_mode

        request = Request(
            absolute(target), one_mode(replace, live, merge, undo=False),
            tuple(os.fsencode(path) for path in paths), tuple(kinds), dry_run, delete, prefer,
            as_name, outside, lock_timeout,
        )  # fmt: skip
        return restore.restore(self.store, self.resolve(revision), request)

    def export(
        self,
        revision: str,
        target: PathLike | ExportRequest,
        *,
        level: int = 3,
        force: bool = False,
    ) -> Exported:
        """Write a snapshot as one file; in a directory, it is named after palace and time.

        `level` is zstd's, 1 to 19. A request says more: another format, encryption, redaction.
        Raises Exists without `force` when it is there, Refused, Damaged, NoSpace, SourceError,
        UsageError; nothing half-written is left.
        """
        from palatine.ops.export import Request, export

        if not isinstance(target, Request):
            target = Request(absolute(target), level, force)
        return export(self.store, self.resolve(revision), target, _cache_of(self.store))

    def import_bundle(self, request: ImportRequest | PathLike) -> Imported:
        """Take a bundle into the repository: a file, or the newest in a directory of them.

        A request says more than which. Raises PathNotFound, UsageError, NoKey, Damaged, Malformed,
        Refused; nothing of it is visible then.
        """
        from palatine.ops.bundles import take

        return take(self.store, _import_request(request), _cache_of(self.store))

    def restore_bundle(
        self, request: ImportRequest | PathLike, how: Request
    ) -> tuple[Restored, Imported]:
        """Put a bundle back as `restore` does a snapshot, without keeping it in the repository.

        Merged, it is imported. Raises what `import_bundle` and `restore` raise.
        """
        from palatine.ops.restore_file import restore_file
        from palatine.ops.temporary import Terms

        store = self.store
        terms = Terms(
            _cache_of(store), settings=store.settings, reporter=store.reporter, clock=store.clock
        )
        return restore_file(store, _import_request(request), how, terms)

    def undo(
        self, target: PathLike, *, outside: bool = False, lock_timeout: float = LOCK_TIMEOUT
    ) -> Restored:
        """Put back what was at a path before the last restore over it; undone again: redone.

        Live when the palace is in use. Raises UnknownRevision when there was no restore, and what
        `restore` raises.
        """
        from palatine.ops import restore
        from palatine.ops.restoring import Mode, Request

        request = Request(absolute(target), Mode.UNDO, outside=outside, lock_timeout=lock_timeout)
        return restore.undo(self.store, request)

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

    def stats(self) -> stats_op.RepositoryStats:
        """Return what the repository holds and what it costs."""
        from palatine.ops import stats

        return stats.stats(self.store)

    def tag(self, revision: str, tag: str) -> Stored:
        """Put a tag on a snapshot and return it; one that was forgotten comes back by it."""
        from palatine.ops import undelete

        return undelete.tag(self.store, self._find(revision)[0], tag)

    def untag(self, revision: str, tag: str) -> Stored:
        """Take a tag from a snapshot; raises UsageError when it does not bear it."""
        stored = self.resolve(revision)
        if tag not in stored.tags:
            raise UsageError(f"{stored.id.hex()[:16]} does not bear the tag {tag!r}")
        self.store.snapshots.remove_tag(stored, tag)
        return stored._replace(tags=tuple(one for one in stored.tags if one != tag))

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

    def forgotten(self) -> list[Forgotten]:
        """Return what was forgotten, oldest first; `stored` is None once gc has collected it."""
        from palatine.ops import undelete

        return undelete.restorable(self.store)

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

    def remotes(self, file: PathLike | None = None) -> remotes_op.Remotes:
        """Return the remotes of this repository; `file` holds them, else the user's."""
        from palatine.ops import remotes as remotes_op

        where = default_remotes() if file is None else absolute(file)
        return remotes_op.Remotes(where, self.store.config.id)

    def push(
        self,
        remote: str | None = None,
        options: CopyOptions | None = None,
        *,
        remotes: PathLike | None = None,
    ) -> synchronise.Result:
        """Copy to a remote (a name or a URL; else the only one) the snapshots that it lacks.

        What it forgot it is not given, unless named. Raises UsageError, UnknownRevision, Refused,
        NoRepository, RepositoryError.
        """
        from palatine.ops import synchronise
        from palatine.ops.exchange import Options as CopyOptions

        return synchronise.push(self.store, self.remotes(remotes), remote, options or CopyOptions())

    def pull(
        self,
        remote: str | None = None,
        options: CopyOptions | None = None,
        *,
        remotes: PathLike | None = None,
    ) -> synchronise.Result:
        """Copy from a remote the snapshots that are lacking here; see `push`."""
        from palatine.ops import synchronise
        from palatine.ops.exchange import Options as CopyOptions

        return synchronise.pull(self.store, self.remotes(remotes), remote, options or CopyOptions())

    def sync(
        self,
        remote: str | None = None,
        options: CopyOptions | None = None,
        *,
        remotes: PathLike | None = None,
    ) -> synchronise.Result:
        """Pull, then push."""
        from palatine.ops import synchronise
        from palatine.ops.exchange import Options as CopyOptions

        return synchronise.sync(self.store, self.remotes(remotes), remote, options or CopyOptions())

    def serve(self, channel: Channel, terms: ServeTerms | None = None) -> None:
        """Answer whoever is at the other end of a channel, which has been greeted."""
        from palatine.sync.serving import OPEN, serve

        serve(self.store, channel, terms or OPEN)

    def close(self) -> None:
        """Let go of files."""
        self.store.close()

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _import_request(request: ImportRequest | PathLike) -> ImportRequest:
    from palatine.ops.intake import Request as ImportRequest

    if isinstance(request, ImportRequest):
        return replace(request, file=absolute(request.file))
    return ImportRequest(absolute(request))


def _cache_of(store: Store) -> Path:
    return store.cache.parent if store.cache is not None else default_cache()


def locate(location: PathLike) -> Path | str:
    """Return what a location names: a directory, absolute, or a URL as it is written."""
    if isinstance(location, str) and is_url(location):
        return location
    return absolute(location)
