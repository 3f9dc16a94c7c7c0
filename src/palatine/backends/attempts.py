"""Requests to an object store: made again where that may help, and failing in palatine's words.

The store's own client makes one request at a time and never repeats it: whether a request that got
no answer was carried out matters to put-if-absent, so every repetition happens here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from palatine.clock import Clock
from palatine.errors import NoSpace, NotFound, PalatineError, ReadOnly, RepositoryError

T = TypeVar("T")

TRIES = 8
"""Requests that are made for one answer: with the pauses between them at most 13 s are waited."""
_PAUSE_FIRST, _PAUSE_LAST = 0.1, 8.0

_STATUS = re.compile(r"status code: ([0-9]{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_QUERY = re.compile(r"\?[^\s\"]*")
_MESSAGE_MAX = 300

# The words of S3 (and of what speaks its protocol, GCS among them) and of Azure.
_NO_NAME = ("NoSuchKey", "BlobNotFound")
_NO_BLOB = "The specified blob does not exist. (code: 404)"  # of one of many that are deleted
_NOTHING_THERE = "Wanted range starting at "  # what a client says that got no byte of a range
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_NO_ENTRY = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken",
    "AuthenticationFailed", "AuthorizationHeaderMalformed", "XAdminUserNotFound",
)  # fmt: skip
_FULL = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull")
_HURT_ON_ITS_WAY = (
    "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch",
)  # fmt: skip
_METADATA = "169.254.169.254"
"""Where a cloud's machines ask for credentials when nothing else gives any."""

_NEVER_SENT = ("kind: Connect", "builder error", _METADATA)

_CREDENTIALS = "check the credentials in the environment; docs/object-storage.md names them"
_NEEDED = "docs/object-storage.md says what a store must be able to do"
_LATER = "try again later: what was done until now is kept"


class Again(Exception):
    """What was answered cannot be used; the request is to be made again."""


class Failure(NamedTuple):
    """Why a request failed, and whether another one may do better."""

    error: PalatineError
    passing: bool = False


class Attempts:
    """Makes requests to the store at `location`, with pauses by `clock` between repetitions."""

    def __init__(self, location: str, clock: Clock) -> None:
        self._location = location
        self._clock = clock

    def run(self, name: str, request: Callable[[], T]) -> T:
        """Return what a request for `name` gives; raises what the backends' contract says."""
        pause = _PAUSE_FIRST
        for left in reversed(range(TRIES)):
            try:
                return request()
            except PalatineError:
                raise
            except Exception as error:
                failure = self._judge(name, error)
                if not failure.passing or not left:
                    raise failure.error from error
            self._clock.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _PAUSE_LAST)
        raise AssertionError("the last repetition returns or raises")

    def _judge(self, name: str, error: Exception) -> Failure:
        status, code = status_of(error), code_of(error)
        told = code or f"status {status}"
        if is_absence(error):
            return Failure(NotFound(f"the repository has no {name}"))
        if code in _NO_BUCKET:
            what = f"there is no bucket (or container) for {self._location}"
            hint = "make it with your provider's tools, or check its name and the endpoint"
            return Failure(RepositoryError(what, hint))
        if status in (401, 403) or code in _NO_ENTRY:
            return Failure(self._denied(name, told, code in _NO_ENTRY or status == 401))
        if status == 507 or code in _FULL:
            what = f"the store at {self._location} is full ({name}: {told})"
            return Failure(NoSpace(what, "free some space there or raise the quota"))
        if status == 501:
            what = f"the store at {self._location} cannot do what {name} needs ({told})"
            return Failure(RepositoryError(what, _NEEDED))
        return self._other(name, error, status, code)

    def _denied(self, name: str, told: str, is_unknown: bool) -> PalatineError:
        if told == "RequestTimeTooSkewed":
            what = f"the store at {self._location} says that this machine's clock is wrong"
            return RepositoryError(what, "set the clock, then try again")
        if is_unknown:
            what = f"the store at {self._location} does not accept our credentials ({told})"
            return RepositoryError(what, _CREDENTIALS)
        what = f"the store at {self._location} does not let us at {name} ({told})"
        return ReadOnly(what, "list, read, write and delete must be allowed to these credentials")

    def _other(self, name: str, error: Exception, status: int, code: str) -> Failure:
        text = plain(error)
        what = f"the store at {self._location} failed at {name}: {text}"
        if _METADATA in text:
            what = f"no credentials for {self._location} were found"
            return Failure(RepositoryError(what, _CREDENTIALS))
        if "builder error" in text:
            hint = "an endpoint without TLS has to be allowed: AWS_ALLOW_HTTP=true"
            return Failure(RepositoryError(what, hint))
        if "redirect" in text:
            hint = "the bucket may be in another region: set AWS_REGION"
            return Failure(RepositoryError(what, hint))
        # without a status no answer came, or not all of it
        passing = not status or status >= 500 or status in (408, 409, 425, 429)
        if passing or code in _HURT_ON_ITS_WAY:
            return Failure(RepositoryError(what, _LATER), True)
        return Failure(RepositoryError(what))


def plain(error: Exception) -> str:
    """Return the first line of what a client says, without queries: they may hold signatures."""
    first = str(error).partition("\n")[0]
    return _QUERY.sub("", first)[:_MESSAGE_MAX]


def status_of(error: Exception) -> int:
    """Return the HTTP status that an error tells of, 0 where no answer came."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def code_of(error: Exception) -> str:
    """Return the store's own word for what is wrong, or nothing."""
    found = _CODE.search(str(error))
    return found[1] if found else ""


def is_absence(error: Exception) -> bool:
    """Whether the store says that it has no such name.

    Another 404 (a missing bucket, a key that nobody has, somebody who is not the store) is none:
    what is taken for absent is passed over by some, and stored again or deleted by others.
    """
    if _NO_BLOB in str(error):
        return True
    return status_of(error) == 404 and code_of(error) in _NO_NAME


def is_behind_the_end(error: Exception) -> bool:
    """Whether a range was asked for that begins where a file has ended."""
    return status_of(error) == 416 or _NOTHING_THERE in str(error)


def is_refusal(error: Exception) -> bool:
    """Whether a request was not carried out for certain: the store says so, or none was sent."""
    status = status_of(error)
    if not status:
        return any(word in str(error) for word in _NEVER_SENT)
    return (400 <= status < 500 and status != 408) or status in (501, 507)
