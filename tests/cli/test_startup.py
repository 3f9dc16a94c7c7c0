"""What a start may import: the time is measured in benchmarks, its causes are kept out here."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.conftest import Pal

HEAVY = ("rich", "pathspec", "pyfastcdc", "numpy", "sqlite_utils", "asyncio", "pydantic", "obstore")


def imported(pal: Pal, *arguments: str, code: int = 0) -> set[str]:
    """Return the modules that a run imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "palatine", *arguments],
        env=pal.environment, cwd=pal.root, capture_output=True, errors="replace", check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def test_version_imports_next_to_nothing(pal: Pal) -> None:
    modules = imported(pal, "--version")
    assert "palatine.cli.main" in modules
    ours = {one for one in modules if one.startswith("palatine")}
    assert ours <= {"palatine", "palatine.cli", "palatine.cli.main", "palatine.__main__"}
    assert not modules & {"typer", "msgspec", "sqlite3", *HEAVY}


def test_log_imports_nothing_heavy(kept: Pal) -> None:
    modules = imported(kept, "log")
    assert "palatine.api" in modules
    assert not {one.partition(".")[0] for one in modules} & set(HEAVY)


def test_help_needs_no_engine(pal: Pal) -> None:
    modules = imported(pal, "log", "--help")
    assert "typer" in modules
    assert not modules & {"palatine.api", "sqlite3", *HEAVY}
