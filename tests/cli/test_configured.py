"""The configuration file, hooks and the palace's lock, from the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Done, Pal

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
os.write(fd, b'{"pid": 77, "command": "watch", "since_us": 0}')
print(flush=True)
sys.stdin.read()
"""


def configure(pal: Pal, text: str) -> Path:
    """Write the user's configuration file; PALACES is where the palaces are."""
    path = pal.home / ".config" / "palatine" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("PALACES", str(pal.root)))
    return path


def palaces(done: Done) -> dict[str, str]:
    return {one["palace"]: one["status"] for one in done.result["palaces"]}


TWO = """
[[palace]]
path = "PALACES/alpha"
name = "first"
tenant = "team"
exclude = ["*.bin"]

[[palace]]
path = "PALACES/other"
"""


def test_without_a_path_all_that_are_configured(pal: Pal, alpha: Path) -> None:
    configure(pal, TWO)
    (pal.root / "other").mkdir()
    done = pal("snapshot", "--json")
    assert palaces(done) == {"team/first": "created", "other": "created"}
    assert "big.bin" not in pal("ls", "team/first").out
    assert "a.md" in pal("ls", "-r", "team/first").out


def test_one_that_is_not_there_does_not_stop_the_other(pal: Pal, alpha: Path) -> None:
    configure(pal, TWO)
    done = pal("snapshot", code=3)
    assert f"there is nothing at {pal.root}/other" in done.err
    assert "team/first" in pal("palaces").out


def test_a_path_that_is_configured_is_taken_as_configured(pal: Pal, alpha: Path) -> None:
    configure(pal, TWO)
    assert palaces(pal("snapshot", "./alpha", "--json")) == {"team/first": "created"}
    done = pal("snapshot", "./alpha", "--palace", "mine", "--exclude", "*.md", "--json")
    assert palaces(done) == {"mine": "created"}
    listed = pal("ls", "-r", "mine").out
    assert "big.bin" not in listed
    assert "a.md" not in listed


def test_a_data_root_takes_settings_from_the_configuration(pal: Pal, alpha: Path) -> None:
    configure(pal, TWO)
    root = pal.root / "root"
    root.mkdir()
    alpha.rename(root / "alpha")
    configure(pal, TWO.replace("PALACES/alpha", "PALACES/root/alpha"))
    assert "team/first" in palaces(pal("snapshot", "--all", root, "--json"))


def test_which_file_is_read(pal: Pal, alpha: Path) -> None:
    usual = configure(pal, TWO)
    mine = pal.root / "mine.toml"
    mine.write_text(f'[[palace]]\npath = "{alpha}"\nname = "mine"\n')
    environment = {"PALATINE_CONFIG": str(mine)}
    assert palaces(pal("snapshot", "--json", env=environment)) == {"mine": "created"}
    done = pal("snapshot", alpha, "--config", usual, "--json", env=environment)
    assert palaces(done) == {"team/first": "created"}
    assert "no configuration file" in pal("snapshot", "--config", "none.toml", code=2).err
    done = pal("snapshot", alpha, "--config", "/dev/null", "--json")
    assert palaces(done) == {"alpha": "created"}


def test_nothing_to_take(pal: Pal) -> None:
    assert "no palace is configured" in pal("snapshot", code=2).err
    assert "no palace is configured" in pal("watch", code=2).err
    assert not pal.repository.exists()


def test_a_mistake_is_told_with_its_line_and_nothing_is_done(pal: Pal, alpha: Path) -> None:
    path = configure(pal, TWO + 'exlude = ["x"]\n')
    said = pal("snapshot", code=2).err
    assert f"{path}, line 10: there is no key 'exlude' (keys: " in said
    assert not pal.repository.exists()


def test_one_name_for_two(pal: Pal, alpha: Path) -> None:
    (pal.root / "sub" / "other").mkdir(parents=True)
    (pal.root / "other").mkdir()
    configure(pal, TWO)
    assert "would both be called" in pal("snapshot", "other", "sub/other", code=2).err


HOOKS = """
[[palace]]
path = "PALACES/alpha"
[palace.hooks]
before = "echo flushing $PALATINE_PALACE; exit BEFORE"
after = "echo letting go; exit AFTER"
"""


def hooked(pal: Pal, before: int, after: int, more: str = "") -> None:
    text = HOOKS.replace("BEFORE", str(before)).replace("AFTER", str(after))
    configure(pal, text.replace("[palace.hooks]", more + "[palace.hooks]"))


def test_hooks_and_their_exit_codes(pal: Pal, alpha: Path) -> None:
    hooked(pal, 0, 0)
    assert "flushing" not in pal("snapshot").err
    err = pal("snapshot", "-v").err
    assert "before: flushing alpha\n" in err
    assert "after: letting go\n" in err
    hooked(pal, 4, 0)
    err = pal("snapshot", "-v", "--force", code=1).err
    assert "the before hook failed with exit code 4" in err
    assert "after: letting go\n" in err
    assert pal("snapshot", "--json", code=1).error["code"] == "hook"
    hooked(pal, 0, 4)
    assert "the after hook failed with exit code 4" in pal("snapshot", "--force", code=3).err
    hooked(pal, 4, 4, 'hook-failure = "go-on"\n')
    assert pal("snapshot", "--force").err.count("hook failed") == 2
    assert len(pal("log", "alpha").out.splitlines()) == 4


def test_a_lock_that_is_held(pal: Pal, alpha: Path) -> None:
    pal("snapshot", alpha)
    (lock,) = (pal.home / "cache").rglob("locks/*")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        err = pal("snapshot", alpha, "--lock-timeout", "0", code=11).err
        assert "'alpha' is held by process 77 (pal watch, since 1970-01-01" in err
        assert pal("snapshot", alpha, "--lock-timeout", "0", "--json", code=11).error["code"] == (
            "locked"
        )
        pal("snapshot", alpha, "--palace", "other", "--lock-timeout", "0")
    finally:
        holder.communicate(timeout=240)
    pal("snapshot", alpha, "--lock-timeout", "0")
    assert "--lock-timeout" in pal("snapshot", alpha, "--lock-timeout", "-1", code=2).err
