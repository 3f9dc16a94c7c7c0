"""The error tree: what went wrong, and what the caller can do about it.

The family (the first level) says what the caller can do; `code` is a stable word for programs;
`hint` is one sentence for people. Nothing else is ever raised on purpose.

    PalatineError                     something is wrong; the message says what
    ├── UsageError                    the request makes no sense: change the request
    │   ├── UnknownRevision           no snapshot answers to that revision
    │   ├── AmbiguousRevision         several do: the message lists them
    │   ├── PathNotFound              the snapshot holds no such path
    │   └── NoKey                     no key that was given opens the file
    ├── Refused                       possible, but not without being asked: see the hint
    │   ├── Exists                    the target is there already
    │   └── NameTaken                 another path holds this palace's name
    ├── SourceError                   what was to be kept cannot be read
    │   └── HookFailed                a command that had to run before the snapshot failed
    ├── RepositoryError               the repository cannot do it
    │   ├── NoRepository              there is none
    │   ├── FormatTooNew              made by a newer palatine
    │   ├── ReadOnly                  it cannot be written to
    │   ├── NoSpace                   its disk is full
    │   ├── CatalogFailed             the local catalog cannot be used
    │   ├── Fenced                    a collector took this writer for dead: run it again
    │   ├── Unclear                   no answer came: nobody knows whether it was done
    │   └── NotFound                  a name it should hold is not there
    ├── Locked                        somebody else holds it: wait, or say who may go on
    └── Damaged                       bytes are not what they were: verify, then repair
        └── Malformed                 bytes that do not follow the format
"""

from __future__ import annotations


class PalatineError(Exception):
    """Base of everything palatine raises on purpose.

    `code` is a stable word for programs, `hint` a sentence on what to do (may be empty).
    """

    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PalatineError):
    """The request makes no sense as it stands."""

    code = "usage"


class UnknownRevision(UsageError):
    """No snapshot answers to the revision."""

    code = "unknown-revision"


class AmbiguousRevision(UsageError):
    """Several snapshots answer to the revision; the message lists them."""

    code = "ambiguous-revision"


class PathNotFound(UsageError):
    """The snapshot, or this machine, holds no such path."""

    code = "path-not-found"


class NoKey(UsageError):
    """A file is encrypted, and no key that was given opens it; what it holds is not known."""

    code = "no-key"


class Refused(PalatineError):
    """Possible, but only when asked for explicitly; the hint says how."""

    code = "refused"


class Exists(Refused):
    """The target is there already and would be lost."""

    code = "exists"


class NameTaken(Refused):
    """Another path on this host holds the palace name that was derived."""

    code = "name-taken"


class SourceError(PalatineError):
    """What was to be kept cannot be read."""

    code = "source"


class HookFailed(SourceError):
    """A command that had to run before a snapshot failed, and no snapshot was taken."""

    code = "hook"


class RepositoryError(PalatineError):
    """The repository cannot do what was asked."""

    code = "repository"


class NoRepository(RepositoryError):
    """There is no repository at that place."""

    code = "no-repository"


class FormatTooNew(RepositoryError):
    """The repository, or a file in it, was written by a newer palatine."""

    code = "format-too-new"


class ReadOnly(RepositoryError):
    """The repository cannot be written to."""

    code = "read-only"


class NoSpace(RepositoryError):
    """The disk below the repository is full."""

    code = "no-space"


class CatalogFailed(RepositoryError):
    """The local file of derived facts cannot be used; the repository is not touched by that."""

    code = "catalog"


class Fenced(RepositoryError):
    """A collector took this writer for dead and voided its snapshot key."""

    code = "fenced"


class Unclear(RepositoryError):
    """A request was sent and no answer came: it may have been carried out, or may yet be."""

    code = "unclear"


class NotFound(RepositoryError):
    """The repository does not hold a name that was asked for."""

    code = "not-found"


class Locked(PalatineError):
    """Another process holds what is needed."""

    code = "locked"


class Damaged(PalatineError):
    """Bytes are not what they were when they were written."""

    code = "damaged"


class Malformed(Damaged):
    """Bytes that do not follow the format."""

    code = "malformed"
