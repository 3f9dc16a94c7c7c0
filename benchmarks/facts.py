"""What one has to know to judge figures: when, which commit, on what; nothing names the machine."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def facts() -> dict[str, Any]:
    """Date, commit, number of cores, version of Python."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _commit() -> str:
    """The checkout's commit, marked if files have changed since."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
        folder = Path(__file__).parent
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return "none"
    return done.stdout.strip()
