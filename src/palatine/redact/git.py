"""Git repositories: their history is left out, or searched.

Left out means: in place of the repository stands a new one, whose only commit holds what was
tracked, as it is now. Nothing of the old directory is taken over, and nothing in it is run: its
configuration may name programs.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from palatine.fsio import remove_tree
from palatine.redact.blobs import Hidden
from palatine.redact.contents import Contents
from palatine.redact.report import History

MESSAGE = "The history was left out by redaction"
_GITLINK = b"160000"
_OBJECT_MAX = 1 << 30
"""Bytes of the largest object that is searched."""


class GitFailed(Exception):
    """There is no git here, or it could not do it."""


def renew(directory: Path, work_tree: Path, scratch: Path, rename: Callable[[bytes], bytes]) -> str:
    """Put a repository of one commit in the place of `directory`; return what became of it.

    `rename` says what a path of the work tree is called by now.
    """
    place = Path(tempfile.mkdtemp(dir=scratch))
    try:
        new = _committed(directory, work_tree, place, rename)
        detail = "one commit of what was tracked stands for it"
    except (GitFailed, OSError) as error:
        new, detail = None, f"no repository is left: {error}"
    mode = stat.S_IMODE(directory.lstat().st_mode)
    remove_tree(directory)
    if new is not None:
        shutil.copytree(new, directory)
        directory.chmod(mode)
    remove_tree(place)
    return detail


def _committed(old: Path, work_tree: Path, place: Path, rename: Callable[[bytes], bytes]) -> Path:
    new = place / ".git"  # the name says that it has a work tree
    branch, tip = _head(old)
    _git(new, ["init", "-q", "--template="])
    (new / "HEAD").write_text(f"ref: refs/heads/{rename(branch.encode()).decode()}\n")
    shutil.rmtree(new / "hooks", ignore_errors=True)
    date = _date(old, new, tip)
    tracked = sorted({rename(one) for one in _tracked(old, new, place)})
    present = [one for one in tracked if _is_leaf(os.fsencode(work_tree) + b"/" + one)]
    if present:
        shared = {"GIT_WORK_TREE": os.fspath(work_tree)}
        _git(new, ["update-index", "--add", "-z", "--stdin"], b"\0".join([*present, b""]), shared)
        tree = _git(new, ["write-tree"]).decode().strip()
        who = {"NAME": "palatine", "EMAIL": "palatine@localhost", "DATE": f"@{date} +0000"}
        signed = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER")
                  for key, value in who.items()}  # fmt: skip
        commit = _git(new, ["commit-tree", tree, "-m", MESSAGE], b"", signed).decode().strip()
        _git(new, ["update-ref", "HEAD", commit])
        # An index without the stats of files, which differ each time
        _git(new, ["read-tree", commit])
    shutil.rmtree(new / "logs", ignore_errors=True)
    _settle(new, date)
    return new


def _settle(top: Path, date: int) -> None:
    for root, names, files in os.walk(top, topdown=False):
        for name in (*files, *names):
            os.utime(os.path.join(root, name), (date, date))
    os.utime(top, (date, date))


def _is_leaf(path: bytes) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _tracked(old: Path, new: Path, place: Path) -> Iterator[bytes]:
    if not (old / "index").is_file():
        return
    shutil.copyfile(old / "index", place / "index")
    own = {"GIT_INDEX_FILE": os.fspath(place / "index")}
    for line in _git(new, ["ls-files", "-s", "-z"], b"", own).split(b"\0"):
        facts, _, path = line.partition(b"\t")
        if path and not facts.startswith(_GITLINK):
            yield path


def _head(old: Path) -> tuple[str, str]:
    """Return the branch and the commit that HEAD names, empty where there is none."""
    text = _line(old / "HEAD")
    if not text.startswith("ref: refs/heads/"):
        return "main", text
    name = text.removeprefix("ref: ")
    tip = _line(old / name)
    if not tip:
        packed = _lines(old / "packed-refs")
        tip = next((one.split()[0] for one in packed if one.endswith(f" {name}")), "")
    return name.removeprefix("refs/heads/"), tip


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _line(path: Path) -> str:
    return next(iter(_lines(path)), "").strip()


def _date(old: Path, new: Path, tip: str) -> int:
    """Return when HEAD was committed, in seconds; 0 if nobody can tell."""
    if not tip or not all(one in "0123456789abcdef" for one in tip):
        return 0
    try:
        commit = _git(new, ["cat-file", "commit", tip], b"", _alternates(old))
        line = next(one for one in commit.split(b"\n") if one.startswith(b"committer "))
        return max(0, int(line.split()[-2]))
    except (GitFailed, StopIteration, ValueError, IndexError):
        return 0


def search(directory: Path, shown: str, contents: Contents, scratch: Path) -> History:
    """Search all objects of a repository, those that nothing refers to any more included."""
    place = Path(tempfile.mkdtemp(dir=scratch))
    found, hidden = Counter[str](), 0
    try:
        for data in _objects(directory, place):
            (place / "object").write_bytes(data)
            try:
                with contents.scrubbed(place / "object", b"", found):
                    hidden += sum(contents.emptied.values())
            except Hidden:
                hidden += 1
    except (GitFailed, OSError) as error:
        return History(shown, "unread", 0, f"the objects cannot be read: {error}")
    finally:
        remove_tree(place)
    matches = sum(found.values())
    if matches:
        return History(shown, "unclean", matches, "objects hold secrets")
    if hidden:
        return History(shown, "unread", 0, f"{hidden} objects hold what cannot be searched")
    return History(shown, "clean", 0, "all objects were searched")


def _objects(old: Path, place: Path) -> Iterator[bytes]:
    new = place / "reader"
    _git(new, ["init", "-q", "--bare", "--template="])
    command = [_program(), "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    own = _environment(new, _alternates(old))
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=null, env=own) as git:
        assert git.stdout is not None
        while header := git.stdout.readline():
            words = header.split()
            if len(words) != 3 or int(words[2]) > _OBJECT_MAX:
                git.kill()
                raise GitFailed("an object is missing or too large")
            yield git.stdout.read(int(words[2]))
            git.stdout.read(1)
        if git.wait():
            raise GitFailed(f"git cat-file ended with {git.returncode}")


def _alternates(old: Path) -> dict[str, str]:
    # Quoted as git says: a path may hold a colon
    path = os.fspath((old / "objects").absolute()).replace("\\", "\\\\").replace('"', '\\"')
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{path}"'}


def _environment(directory: Path, extra: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": os.defpath, "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_DIR": os.fspath(directory), **extra,
    }  # fmt: skip


def _program() -> str:
    found = shutil.which("git")
    if found is None:
        raise GitFailed("git is not installed")
    return found


def _git(
    directory: Path, words: Sequence[str], data: bytes = b"", extra: Mapping[str, str] | None = None
) -> bytes:
    done = subprocess.run(
        [_program(), *words], input=data, capture_output=True, check=False,
        env=_environment(directory, extra or {}),
    )  # fmt: skip
    if done.returncode:
        raise GitFailed(f"git {words[0]} ended with {done.returncode}")
    return done.stdout
