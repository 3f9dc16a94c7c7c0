"""What a restore gives up is removed: no tree is too deep for that, and no mode keeps it."""

from __future__ import annotations

import os
from pathlib import Path

from palatine.fsio import remove_tree


def test_a_tree_is_removed_however_deep(tmp_path: Path) -> None:
    """Deeper than Python recurses, and than a path may be long."""
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for number in range(1500):
        os.close(os.open(f"f{number}", os.O_CREAT, dir_fd=here))
        os.mkdir("directory", dir_fd=here)
        os.mkdir("beside", 0o500, dir_fd=here)
        deeper = os.open("directory", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    (top / "directory").chmod(0)
    remove_tree(top)
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "note").write_text("stays")
    top = tmp_path / "top"
    (top / "sub").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    (top / "sub" / "link").symlink_to(outside)
    remove_tree(top)
    assert not top.exists()
    assert (outside / "note").read_text() == "stays"


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_tree(tmp_path / "absent")


def test_a_symlink_in_the_place_of_the_directory_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "link")
    assert (tmp_path / "kept" / "file").read_text() == "kept"
