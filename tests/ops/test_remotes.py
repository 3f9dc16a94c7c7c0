"""The remotes' file under several processes: what one adds, no other one takes away."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from palatine.ops.remotes import Remote, Remotes
from palatine.sync.roles import Identity

_EACH = 40


def _add(file: Path, start: Barrier, name: str) -> None:
    remotes = Remotes(file, "one")
    start.wait(60)
    for number in range(_EACH):
        remotes.add(f"{name}-{number}", Remote(f"ssh://host/{number}"))


def test_several_add_remotes_at_once(tmp_path: Path) -> None:
    file = tmp_path / "configuration" / "remotes.json"
    names = ["a", "b", "c", "d"]
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(len(names))
    processes = [spawn.Process(target=_add, args=(file, start, name)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    assert len(Remotes(file, "one").all()) == len(names) * _EACH


def test_a_remote_that_was_removed_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    file = tmp_path / "remotes.json"
    remotes = Remotes(file, "one")
    remotes.add("far", Remote("ssh://host/far"))
    named = remotes.find("far")
    remotes.remove("far")
    remotes.check(named, Identity("two", "blake3", "far"))
    assert remotes.all() == {}
