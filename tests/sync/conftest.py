"""A real sshd on loopback with generated keys, and a `pal` that knows the way to it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import SRC, Pal, live, make_palace


@dataclass
class Sshd:
    """A host `far` that ssh can reach; `pal` there has a home of its own."""

    root: Path
    port: int
    log: Path

    @property
    def ssh(self) -> str:
        """The command that knows the host and has the key."""
        return f"ssh -F {self.root / 'config'}"

    def url(self, directory: str = "repository") -> str:
        """Return the URL of a repository there."""
        return f"ssh://far{self.root / 'home' / directory}"

    def force(self, command: str) -> None:
        """Let the key run one command only, whatever is asked for."""
        key = (self.root / "key.pub").read_text()
        (self.root / "authorized").write_text(f'restrict,command="{command}" {key}')

    def pal(self) -> Pal:
        """Return `pal` as the user of that host runs it."""
        return Pal(self.root)


@pytest.fixture(scope="session")
def _keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("keys")
    for name in ("host", "key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(where / name)], check=True
        )
    return where


@pytest.fixture
def sshd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sshd]:
    """Start sshd on a free port, and stop it."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("no OpenSSH server here: install openssh-server and openssh-client")
    root = tmp_path / "host"
    root.mkdir()
    for file in request.getfixturevalue("_keys").iterdir():
        shutil.copy(file, root / file.name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _configure(root, port)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = root / "sshd.log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [program, "-D", "-e", "-f", str(root / "sshd_config")], stderr=file
        )
    try:
        _await(port, server, log)
        yield Sshd(root, port, log)
    finally:
        server.terminate()
        server.wait(10)


def _configure(root: Path, port: int) -> None:
    programs = root / "bin"
    programs.mkdir()
    (programs / "pal").write_text(f'#!/bin/sh\nexec {sys.executable} -m palatine "$@"\n')
    (programs / "pal").chmod(0o755)
    (root / "home").mkdir()
    shutil.copy(root / "key.pub", root / "authorized")
    home = root / "home"
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONPATH": SRC,
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
        "XDG_CACHE_HOME": home / "cache",
        "XDG_DATA_HOME": home / "data",
        "XDG_CONFIG_HOME": home / "config",
    }
    words = " ".join(f"{name}={value}" for name, value in environment.items() if str(value))
    (root / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root / 'host'}\n"
        f"AuthorizedKeysFile {root / 'authorized'}\nStrictModes no\nUsePAM no\nPidFile none\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nSetEnv {words}\n"
    )
    known = " ".join((root / "host.pub").read_text().split()[:2])
    (root / "known").write_text(f"[127.0.0.1]:{port} {known}\n")
    (root / "config").write_text(
        f"Host far\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n"
        f" IdentityFile {root / 'key'}\n IdentitiesOnly yes\n IdentityAgent none\n BatchMode yes\n"
        f" UserKnownHostsFile {root / 'known'}\n StrictHostKeyChecking yes\n LogLevel ERROR\n"
    )


def _await(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            pytest.fail(f"sshd did not start: {log.read_text(errors='replace')}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("sshd does not listen")


@pytest.fixture
def near(tmp_path: Path, sshd: Sshd) -> Pal:
    """`pal` on this side with two snapshots of alpha, and `far` as its remote."""
    pal = Pal(tmp_path)
    pal.environment["PALATINE_SSH"] = sshd.ssh
    alpha = make_palace(tmp_path / "alpha")
    pal("snapshot", alpha, "--tag", "keep")
    live(alpha)
    pal("snapshot", alpha)
    pal("remote", "add", "far", sshd.url())
    return pal
