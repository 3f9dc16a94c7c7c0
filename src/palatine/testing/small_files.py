"""A tree of very many small markdown files: the other end of what a snapshot store has to bear."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from palatine.testing.files import edit_text
from palatine.testing.text import Prose, log_normal_size

_MEAN = 1_400
_FILES_PER_FOLDER = 300
_FOLDERS_PER_AREA = 20


def many_small_files(root: Path, seed: int, count: int = 100_000) -> None:
    """Write `count` markdown files of 200 B to 30 kB (mean 1.4 kB) into folders of 300 each."""
    prose = Prose(seed)
    rng = Random(f"small:{seed}")
    for first in range(0, count, _FILES_PER_FOLDER):
        area, number = divmod(first // _FILES_PER_FOLDER, _FOLDERS_PER_AREA)
        folder = root / f"area-{area:02d}" / f"folder-{number:02d}"
        folder.mkdir(parents=True)
        for _ in range(min(_FILES_PER_FOLDER, count - first)):
            _new_file(folder, rng, prose)


def touch_small_files(root: Path, seed: int, day: int, share: float = 0.003) -> None:
    """Edit, add and delete `share` (0 to 1) of the files, anywhere in the tree."""
    prose = Prose(seed)
    rng = Random(f"small:{seed}:{day}")
    files = sorted(root.glob("*/*/*.md"))
    for path in rng.sample(files, max(1, round(len(files) * share))):
        action = rng.random()
        if action < 0.7:
            edit_text(path, rng, prose)
        elif action < 0.9:
            _new_file(path.parent, rng, prose)
        else:
            path.unlink()


def _new_file(folder: Path, rng: Random, prose: Prose) -> None:
    name = f"{prose.name(rng)}-{rng.randbytes(3).hex()}.md"
    text = prose.markdown(rng, log_normal_size(rng, _MEAN, 200, 30_000)).encode()
    # pathlib costs as much as the write itself, a hundred thousand times
    with open(os.path.join(folder, name), "wb", buffering=0) as file:  # noqa: PTH118, PTH123
        file.write(text)
