"""snapshot, as everybody takes one: under the palace's lock, between the user's hooks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from palatine.model.names import join_palace
from palatine.ops.hooks import NO_HOOKS, Hooks, Run, Subject
from palatine.ops.palacelock import Patience, palace_lock
from palatine.ops.snapshot import Done, Request, snapshot
from palatine.store.repository import Repository


@dataclass(frozen=True)
class Terms:
    """How long the lock is waited for, and the hooks."""

    patience: Patience = field(default_factory=Patience)
    hooks: Hooks = NO_HOOKS


USUAL = Terms()


def keep(repository: Repository, request: Request, terms: Terms = USUAL) -> Done:
    """Snapshot a palace while nobody else does, hooks before and after; see `snapshot`.

    The hooks run under the lock: what one snapshot stops, another does not start meanwhile. Raises
    Locked, HookFailed, and what `snapshot` raises.
    """
    source = request.source.resolve()
    name = join_palace(request.tenant, request.palace)
    run = Run(terms.hooks, Subject(name, source), repository.reporter)
    lock = palace_lock(repository, request.tenant, request.palace, source, terms.patience)
    with lock, run.around():
        done = snapshot(repository, request)
        run.subject.snapshot = done.stored.id.hex()
    return replace(done, hook_failures=tuple(run.failures)) if terms.hooks.stops else done
