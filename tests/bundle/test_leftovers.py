"""What a killed export left beside its name: the next one removes it, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bundle.foreign import about, make

from palatine import fsio
from palatine.bundle.files import OutputFile
from palatine.bundle.formats.ai_memory import AiMemory
from palatine.bundle.formats.base import PathFormat
from palatine.bundle.formats.oxios import Oxios

PROGRAM = """
import shutil, sys
from pathlib import Path
from tests.bundle.foreign import about, make
from palatine.bundle.formats.oxios import Oxios
copy = shutil.copyfile
def slow(*arguments, **more):
    copy(*arguments, **more)
    print("halfway", flush=True)
    sys.stdin.read()
shutil.copyfile = slow
root, target = map(Path, sys.argv[1:])
made = make("oxios", root)
Oxios().write(made.palace, about(made), target, False)
"""
DAYS = 3 * 24 * 3600


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory for exports."""
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


@pytest.fixture
def halfway(tmp_path: Path, there: Path) -> Iterator[subprocess.Popen[str]]:
    """An export into it by a process of its own, which has written some, and waits."""
    environment = dict(os.environ, PYTHONPATH=":".join(sys.path))
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path / "root", there / "killed"], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "halfway\n"
        yield process
        process.kill()


def left(there: Path) -> list[Path]:
    """Return what has a temporary name."""
    return sorted(there.glob(f"{fsio.TEMPORARY_PREFIX}*"))


def aged(path: Path) -> Path:
    """Have something be of some days ago."""
    then = time.time() - DAYS
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def export(there: Path, name: str = "other") -> None:
    with OutputFile(there / name) as file:
        file.write(b"x")
        file.commit()


@pytest.mark.parametrize("family", ["oxios", "ai-memory", "native"])
def test_the_next_export_removes_what_a_killed_one_left(
    tmp_path: Path, there: Path, halfway: subprocess.Popen[str], family: str
) -> None:
    halfway.kill()
    halfway.wait()
    (stray,) = left(there)
    assert any(path.is_file() for path in stray.rglob("*"))
    aged(stray)
    if family == "native":
        export(there)
    else:
        format_: PathFormat = Oxios() if family == "oxios" else AiMemory()
        made = make(family, tmp_path / "other")
        format_.write(made.palace, about(made), there / "other", False)
    assert left(there) == []
    assert (there / "other").exists()
    assert not (there / "killed").exists()


def test_one_that_still_runs_keeps_what_it_has(there: Path, halfway: subprocess.Popen[str]) -> None:
    (used,) = left(there)
    aged(used)
    export(there)
    assert left(there) == [used]
    out, _ = halfway.communicate("")
    assert out.count("halfway") > 1
    assert halfway.returncode == 0
    assert left(there) == []
    assert (there / "killed" / "manifest.json").exists()


def test_what_is_young_or_may_be_another_s_stays(tmp_path: Path, there: Path) -> None:
    prefix = there / fsio.TEMPORARY_PREFIX
    (tmp_path / "precious").mkdir()
    young, theirs, link, gone, deep = (
        Path(f"{prefix}{name}") for name in ("young", "theirs", "link", "gone", "deep")
    )
    young.write_text("x")
    theirs.write_text("x")
    os.chown(aged(theirs), 65534, 65534)
    link.symlink_to(tmp_path / "precious")
    aged(link)
    gone.write_text("x")
    aged(gone)
    (deep / "a" / "b").mkdir(parents=True)
    aged(deep)
    usual = there / "usual"
    usual.write_text("x")
    aged(usual)
    export(there)
    assert left(there) == sorted([young, theirs, link])
    assert usual.exists()
    assert (tmp_path / "precious").exists()


def test_an_export_of_a_file_holds_its_temporary_name(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")  # as on systems without nameless files
    with OutputFile(there / "slow") as file:
        file.write(b"x")
        (name,) = left(there)
        aged(name)
        export(there)
        assert left(there) == [name]
        file.commit()
    assert left(there) == []
