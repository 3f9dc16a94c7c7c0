"""Commands of the user's that run before and after a snapshot: a service flushes, or holds still.

They go through the shell, know of the snapshot by three variables, and are ended with all that they
started when they take too long.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from palatine.errors import HookFailed
from palatine.events import Reporter

if TYPE_CHECKING:
    import subprocess

HOOK_TIMEOUT = 300.0
_GRACE = 5.0
_SHOWN = 64 << 10
"""Bytes of a hook's output that are shown: the last ones."""


@dataclass(frozen=True)
class Hooks:
    """Shell commands, empty for none; `stops`: one that fails stops, or spoils, the snapshot.

    `after` runs whatever came of the snapshot, `on_failure` after it when the snapshot failed.
    `timeout` is in seconds, for each.
    """

    before: str = ""
    after: str = ""
    on_failure: str = ""
    stops: bool = True
    timeout: float = HOOK_TIMEOUT


NO_HOOKS = Hooks()


@dataclass
class Subject:
    """What a hook is told: the palace, its place, and the snapshot's id where there is one."""

    palace: str
    path: Path
    snapshot: str = ""


class Run:
    """The hooks of one snapshot as they are run; `failures` are those that failed, in words."""

    def __init__(self, hooks: Hooks, subject: Subject, reporter: Reporter) -> None:
        self._hooks = hooks
        self.subject = subject
        self._reporter = reporter
        self.failures: list[str] = []

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Run `before`, the block, and `after`; raises HookFailed when `before` has to succeed."""
        hooks = self._hooks
        try:
            try:
                failed = self._run("before", hooks.before)
                if failed and hooks.stops:
                    raise HookFailed(
                        f"{failed}; no snapshot of {self.subject.palace} was taken",
                        'hook-failure = "go-on" would take it all the same; -v shows the output',
                    )
                yield
            finally:
                # whatever happened, Ctrl-C included: what `before` stopped has to go on
                self._run("after", hooks.after)
        except Exception:
            self._run("on-failure", hooks.on_failure)
            raise

    def _run(self, name: str, command: str) -> str:
        """Run one hook; return how it failed, or nothing."""
        if not command:
            return ""
        with tempfile.TemporaryFile() as output:
            told = self._outcome(command, output)
            self._show(name, output)
        if not told:
            return ""
        failure = f"the {name} hook {told}: {command}"
        self.failures.append(failure)
        self._reporter.notice(failure)
        return failure

    def _outcome(self, command: str, output: IO[bytes]) -> str:
        import subprocess  # not at the top: `pal log` has no use for it

        subject = self.subject
        try:
            # env(1) adds to the environment, which only the command line may read. The output goes
            # to a file: a service that the hook starts may keep a pipe open for ever.
            process = subprocess.Popen(
                ["env", f"PALATINE_PALACE={subject.palace}", f"PALATINE_PATH={subject.path}",
                 f"PALATINE_SNAPSHOT={subject.snapshot}", "/bin/sh", "-c", command],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"cannot be run ({error.strerror or error})"
        try:
            code = process.wait(self._hooks.timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"took longer than {self._hooks.timeout:g} s and was ended"
        except BaseException:
            _end(process)
            raise
        if code < 0:
            return f"was ended by signal {-code}"
        return f"failed with exit code {code}" if code else ""

    def _show(self, name: str, output: IO[bytes]) -> None:
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _SHOWN))
        for line in output.read().decode("utf-8", "replace").splitlines():
            self._reporter.detail(f"{name}: {line}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a hook and everything it started, at first politely."""
    import subprocess

    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return
