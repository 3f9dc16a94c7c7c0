"""The plain files of a palace: JSON documents, and a memdir of markdown kept in git."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import Any

from palatine.testing.text import Prose, hex_id, log_normal_size, stamp

_SESSION_MEAN = 7_000  # bytes of one session's JSON
_NOTE_MEAN = 1_400  # bytes of one markdown note
_NOTE_STORED = 2_400  # measured: bytes per note with its share of the packed git repository
_NOTES_PER_FOLDER = 120
_GIT_CONFIG = (
    "gc.auto=0",  # packing at a moment of git's choosing would not be reproducible
    "pack.threads=1",
    "commit.gpgsign=false",
    "core.hooksPath=/dev/null",
    "core.fsync=none",
)


def create_json(folder: Path, rng: Random, prose: Prose, size: int) -> None:
    """Write the palace's own files and session documents of about `size` bytes in all."""
    (folder / "sessions").mkdir(parents=True, exist_ok=True)
    palace = {
        "id": folder.name,
        "name": folder.name.title(),
        "description": None,
        "created_at": stamp(0, 0),
        "data_dir": f"/var/lib/agents/{folder.name}",
        "schema_version": 1,
    }
    _write_json(folder / "palace.json", palace)
    (folder / "identity.txt").write_text(prose.sentences(rng, 300) + "\n")
    (folder / "inbox").mkdir()  # an empty directory, which a snapshot has to keep
    for _ in range(max(2, size // _SESSION_MEAN)):
        _new_session(folder, rng, prose, 0)
    _rewrite_caches(folder, rng, prose, 0)


def live_json(folder: Path, rng: Random, prose: Prose, day: int, share: float) -> None:
    """Rewrite the caches, change `share` (0 to 1) of the sessions and begin as many new ones."""
    sessions = sorted((folder / "sessions").iterdir())
    changed = max(1, round(len(sessions) * share))
    for path in rng.sample(sessions, changed):
        document = json.loads(path.read_text())
        document["messages"] += _messages(rng, prose, 900)
        _write_json(path, document)
    for _ in range(changed):
        _new_session(folder, rng, prose, day)
    _rewrite_caches(folder, rng, prose, day)


def create_memdir(folder: Path, rng: Random, prose: Prose, size: int) -> None:
    """Write a memdir of about `size` bytes, with its history, as a packed git repository."""
    folder.mkdir(parents=True)
    count = max(6, size // _NOTE_STORED)
    for index in range(count):
        _new_note(folder, rng, prose, index // _NOTES_PER_FOLDER)
    (folder / "MEMORY.md").write_text(prose.markdown(rng, 2_000))
    (folder / ".gitignore").write_text("transcripts/\nmedia/\n*.tmp\n*.swp\n")
    (folder / "media").mkdir()
    (folder / "README.md").symlink_to("MEMORY.md")
    _git(folder, 0, "init", "-q", "--template=", "-b", "main")
    _commit(folder, 0)
    _git(folder, 0, "gc", "-q")


def live_memdir(folder: Path, rng: Random, prose: Prose, day: int, share: float) -> None:
    """Add, edit and delete `share` (0 to 1) of the notes, and commit."""
    notes = sorted(folder.glob("topic-*/*.md"))
    for path in rng.sample(notes, max(1, round(len(notes) * share))):
        action = rng.random()
        if action < 0.4:
            _new_note(folder, rng, prose, int(path.parent.name.removeprefix("topic-")))
        elif action < 0.85:
            edit_text(path, rng, prose)
        else:
            path.unlink()
    edit_text(folder / "MEMORY.md", rng, prose)
    _commit(folder, day)


def edit_text(path: Path, rng: Random, prose: Prose) -> None:
    """Put a new paragraph somewhere into the file, as a person or an agent edits a note."""
    lines = path.read_text().split("\n")
    lines.insert(int(rng.random() * len(lines)), prose.sentences(rng, 160))
    path.write_text("\n".join(lines))


def _new_note(folder: Path, rng: Random, prose: Prose, topic: int) -> None:
    path = folder / f"topic-{topic:03d}" / f"{prose.name(rng)}-{rng.randbytes(2).hex()}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(prose.markdown(rng, log_normal_size(rng, _NOTE_MEAN, 200, 30_000)))


def _new_session(folder: Path, rng: Random, prose: Prose, day: int) -> None:
    session = hex_id(rng)
    document = {
        "id": session,
        "user_id": "agent",
        "created_at": stamp(day, int(rng.random() * 86_400)),
        "messages": _messages(rng, prose, log_normal_size(rng, _SESSION_MEAN, 400, 60_000)),
        "metadata": {},
    }
    _write_json(folder / "sessions" / f"{session}.json", document)


def _messages(rng: Random, prose: Prose, size: int) -> list[dict[str, str]]:
    own = prose.own_words(rng)
    roles = ("user", "assistant")
    return [
        {"role": roles[turn % 2], "content": prose.sentences(rng, 350, own)}
        for turn in range(max(1, size // 410))
    ]


def _rewrite_caches(folder: Path, rng: Random, prose: Prose, day: int) -> None:
    """What an agent's dreaming writes anew each time: the L1 cache and its statistics."""
    notes = [prose.note(rng, 400) for _ in range(15)]
    drawers = [
        {
            "id": hex_id(rng),
            "content": note.body,
            "importance": round(rng.random(), 3),
            "tags": note.tags,
            "created_at": stamp(day, int(rng.random() * 86_400)),
            "access_count": int(rng.random() * 40),
        }
        for note in notes
    ]
    _write_json(folder / "l1_cache.json", drawers)
    stats = {"last_run_at": stamp(day, 10_800), "merged": int(rng.random() * 30), "pruned": day}
    _write_json(folder / "dream_stats.json", stats)


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


def _commit(folder: Path, day: int) -> None:
    _git(folder, day, "add", "-A")
    _git(folder, day, "commit", "-q", "--no-verify", "-m", f"memory of day {day}")


def _git(folder: Path, day: int, *arguments: str) -> None:
    """Run git as the same author at the same time on every machine, whatever its user's config."""
    program = shutil.which("git")
    if program is None:
        raise FileNotFoundError("the generator of palaces needs the program git")
    options = [word for setting in _GIT_CONFIG for word in ("-c", setting)]
    date = f"{1_767_225_600 + 86_400 * day} +0000"
    environment = {
        "PATH": os.defpath,
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "agent",
        "GIT_AUTHOR_EMAIL": "agent@example.org",
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": "agent",
        "GIT_COMMITTER_EMAIL": "agent@example.org",
        "GIT_COMMITTER_DATE": date,
    }
    subprocess.run(
        [program, *options, *arguments], cwd=folder, env=environment, check=True, timeout=600
    )
