"""A real sshd on loopback with generated keys: another host, for tests and benchmarks."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TRANSFERRED = re.compile(r"Transferred: sent (\d+), received (\d+) bytes")


@dataclass
class Sshd:
    """A host `far` that ssh can reach; the programs in `root / "bin"` are in the PATH there."""

    root: Path
    port: int
    log: Path

    @property
    def ssh(self) -> str:
        """The command that knows the host and has the key."""
        return f"ssh -F {self.root / 'config'}"

    def url(self, directory: str = "repository") -> str:
        """Return the URL of a repository in the home there."""
        return f"ssh://far{self.root / 'home' / directory}"

    def force(self, command: str) -> None:
        """Let the key run one command only, whatever is asked for."""
        key = (self.root / "key.pub").read_text()
        (self.root / "authorized").write_text(f'restrict,command="{command}" {key}')

    def counted(self, log: Path) -> str:
        """The same, and it writes to a file what `travelled` reads."""
        return f"{self.ssh} -v -E {log}"


def travelled(log: Path) -> int:
    """Return the bytes of all connections that a log tells of, both ways, as ssh counted them.

    All that ssh says is among them: the exchange of keys, what encryption adds.
    """
    told = _TRANSFERRED.findall(log.read_text(errors="replace"))
    return sum(int(sent) + int(received) for sent, received in told)


def program() -> str | None:
    """Return where sshd is, or None where an OpenSSH server or client is missing."""
    found = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    return found if shutil.which("ssh") else None


def make_keys(where: Path) -> None:
    """Make the host's key and the user's; they can serve many hosts."""
    for name in ("host", "key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(where / name)], check=True
        )


@contextmanager
def running(root: Path, environment: Mapping[str, object]) -> Iterator[Sshd]:
    """Start sshd on a free port, and stop it; keys are in `root`, where the host's home will be.

    `environment`: variables of those who log in. Raises RuntimeError when it does not start.
    """
    found = program()
    if found is None:
        raise RuntimeError("no OpenSSH server here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _configure(root, port, environment)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = root / "sshd.log"
    with log.open("wb") as file:
        server = subprocess.Popen([found, "-D", "-e", "-f", str(root / "sshd_config")], stderr=file)
    try:
        _await(port, server, log)
        yield Sshd(root, port, log)
    finally:
        server.terminate()
        server.wait(10)


def _configure(root: Path, port: int, environment: Mapping[str, object]) -> None:
    for name in ("bin", "home"):
        (root / name).mkdir(exist_ok=True)
    shutil.copy(root / "key.pub", root / "authorized")
    variables = {"PATH": f"{root / 'bin'}:/usr/bin:/bin", **environment}
    words = " ".join(f"{name}={value}" for name, value in variables.items() if str(value))
    (root / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root / 'host'}\n"
        f"AuthorizedKeysFile {root / 'authorized'}\nStrictModes no\nUsePAM no\nPidFile none\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nSetEnv {words}\n"
        "Subsystem sftp internal-sftp\n"
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
            raise RuntimeError(f"sshd did not start: {log.read_text(errors='replace')}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("sshd does not listen")
