"""`pal serve` on another host, run by the system's ssh: its configuration, its keys, its agent."""

from __future__ import annotations

import re
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from palatine.errors import PalatineError, RepositoryError, UsageError

if TYPE_CHECKING:
    from palatine.events import Reporter
    from palatine.sync.far import FarReceiver, FarSupplier

Process = subprocess.Popen[bytes]

_URL = re.compile(
    r"ssh://(?:(?P<user>[^@/:]+)@)?(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^@/:\[\]]+)"
    r"(?::(?P<port>\d{1,5}))?(?P<path>/.*)\Z",
    re.DOTALL,
)
_WORD = re.compile(r"(?!-)[A-Za-z0-9._\\+-]+\Z")
_PATIENCE_SECONDS = 10
"""How long ssh may take to end when everything has been said."""


class Address(NamedTuple):
    """Where an ssh URL leads; a path that begins with `~` is in the user's home there."""

    user: str | None
    host: str
    port: int | None
    path: str


def is_ssh(url: str) -> bool:
    """Whether a URL is one of ssh."""
    return url.startswith("ssh://")


def parse(url: str) -> Address:
    """Return where `ssh://[user@]host[:port]/path` leads; raises UsageError."""
    found = _URL.match(url)
    port = int(found["port"]) if found and found["port"] else None
    host = found["host"].strip("[]") if found else ""
    good = found is not None and (_WORD.match(host) or found["host"].startswith("["))
    if found is None or not good or not (found["user"] is None or _WORD.match(found["user"])):
        raise UsageError(f"{url!r} is not an ssh URL", "write ssh://[user@]host[:port]/path")
    if port is not None and not 0 < port < 1 << 16:
        raise UsageError(f"{url!r} names no port")
    from urllib.parse import unquote

    path = unquote(found["path"])
    return Address(found["user"], host, port, path[1:] if path.startswith("/~") else path)


def command(address: Address, ssh: str, pal: str) -> list[str]:
    """Return what runs `pal serve` there; `ssh` and `pal` are commands as a shell reads them."""
    words = [*shlex.split(ssh), "-T", "-o", "ControlMaster=no"]
    if address.port is not None:
        words += ["-p", str(address.port)]
    if address.user is not None:
        words += ["-l", address.user]
    serve = f"{pal or 'pal'} serve --stdio --repo {shlex.quote(address.path)}"
    return [*words, "--", address.host, serve]


class Begun:
    """A command that was started before it was known to be needed: who needs just it, takes it."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start it; raises RepositoryError where it cannot be run."""
        self._words = [*words]
        self._process: Process | None = _started(words)

    def take(self, words: Sequence[str]) -> Process | None:
        """Return the process if it runs this command and nobody has taken it yet."""
        if self._words != [*words]:
            return None
        process, self._process = self._process, None
        return process

    def close(self) -> None:
        """End it if nobody took it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def opened(
    words: Sequence[str],
    url: str,
    reporter: Reporter,
    begun: Begun | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[tuple[FarSupplier, FarReceiver]]:
    """Run a command that serves a repository, and speak with it until the `with` block ends.

    `begun` may run it already; `meanwhile` is done while the connection is made. Raises
    RepositoryError when there is none, and what the other side met.
    """
    process = (begun and begun.take(words)) or _started(words)
    from palatine.sync import wire
    from palatine.sync.far import FarReceiver, FarSupplier
    from palatine.sync.serving import connect

    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: deque[str] = deque(maxlen=5)
    listener = threading.Thread(target=_listen, args=(process.stderr, said), daemon=True)
    listener.start()
    channel = wire.Channel(process.stdout, process.stdin, url)
    try:
        meanwhile()
        try:
            identity = connect(channel)
        except RepositoryError as error:
            if error.code != RepositoryError.code:
                raise
            _end(process)
            listener.join(_PATIENCE_SECONDS)
            if said:
                raise RepositoryError(f"{url}: {said[-1]}", error.hint) from error
            raise
        yield FarSupplier(channel, identity), FarReceiver(channel, identity)
        with suppress(PalatineError):
            channel.send(wire.Bye())
    finally:
        _end(process)
        listener.join(_PATIENCE_SECONDS)
        process.stdout.close()
        process.stderr.close()
        for line in said:
            reporter.detail(f"{url}: {line}")


def _started(words: Sequence[str]) -> Process:
    try:
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        what = f"{words[0]} cannot be run: {error.strerror}"
        raise RepositoryError(what, "install an ssh client, or set PALATINE_SSH") from error


def _listen(stream: IO[bytes], said: deque[str]) -> None:
    for line in stream:
        text = line.decode(errors="replace").strip()
        if text:
            said.append(text[:500])


def _end(process: Process) -> None:
    """Let a process end by itself, or end it."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
