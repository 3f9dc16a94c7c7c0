"""A real S3 server for tests: the Versity gateway over a directory, built from the Go module proxy.

Started once for a run of tests, on a free port of the loopback, and stopped by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

VERSION = "v1.8.0"
PACKAGE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
KEY, SECRET, REGION = "tester", "a-secret-of-tests", "us-east-1"

_CHECKOUT = Path(__file__).resolve().parents[2]
_PLACE = _CHECKOUT / ".venv" / "cache" / "s3" / VERSION
"""Where `tests/s3/build` puts the program."""


class Server:
    """A running server; buckets are directories of `data`."""

    def __init__(self, port: int, data: Path) -> None:
        self.port = port
        self.data = data

    @property
    def settings(self) -> dict[str, object]:
        """Return what obstore needs to know."""
        return settings_for(self.port)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a user has in the environment."""
        return environment_for(self.port)

    def bucket(self, name: str) -> str:
        """Make a bucket."""
        (self.data / name).mkdir()
        return name


def settings_for(port: int) -> dict[str, object]:
    """Return what obstore needs to reach the server, or what stands before it, at a port."""
    return {
        "endpoint": f"http://127.0.0.1:{port}",
        "access_key_id": KEY,
        "secret_access_key": SECRET,
        "region": REGION,
        "allow_http": "true",
    }


def environment_for(port: int) -> dict[str, str]:
    """Return the same as variables of the environment."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_ALLOW_HTTP": "true",
    }


def program() -> Path:
    """Return the server's program; skips the test where it is not there."""
    named = os.environ.get("PALATINE_TEST_S3")
    for place in (Path(named) if named else None, _PLACE / "versitygw"):
        if place is not None and place.is_file():
            return place
    found = shutil.which("versitygw")
    if found is None:
        pytest.skip(
            f"no S3 server: `make server` builds versitygw {VERSION} with go"
            " (or put it on the PATH, or name it in PALATINE_TEST_S3)"
        )
    return Path(found)


@contextlib.contextmanager
def running(data: Path, *options: str) -> Iterator[Server]:
    """Run the server over a directory; `options` are more of those of its posix command."""
    data.mkdir(exist_ok=True)
    port = free_port()
    environment = {
        **os.environ, "ROOT_ACCESS_KEY_ID": KEY, "ROOT_SECRET_ACCESS_KEY": SECRET,
    }  # fmt: skip
    log = data.with_name(data.name + ".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program(), "--port", f"127.0.0.1:{port}", "--region", REGION, "--keep-alive",
             "--quiet", "posix", *options, data],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
        )  # fmt: skip
    try:
        _wait(process, port, log)
        yield Server(port, data)
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, f"the S3 server ended: {log.read_text()}"
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            except urllib.error.HTTPError as answer:
                answer.close()
                return
            return
        time.sleep(0.05)
    raise AssertionError(f"the S3 server does not answer: {log.read_text()}")
