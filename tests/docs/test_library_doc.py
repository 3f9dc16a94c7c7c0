"""Every Python block of docs/library.md runs, in order, and prints what its comments say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import palatine
from palatine import api

TEXT = (Path(__file__).parents[2] / "docs" / "library.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def expected(block: str) -> list[str]:
    """Return what a block says it prints: after a statement, or on lines of its own below."""
    lines = []
    for line in block.splitlines():
        said = re.match(r"\s*print\(.*\)  # (.*)$", line) or re.search(r"# prints: (.*)$", line)
        said = said or re.match(r"# (.*)$", line)
        if said:
            lines.append(said[1])
    return lines


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert len(BLOCKS) >= 7
    for block in BLOCKS:
        exec(compile(block, "docs/library.md", "exec"), names)
        assert capsys.readouterr().out.splitlines() == expected(block)


def test_every_verb_is_shown_or_named() -> None:
    verbs = {name for name in vars(api.Repository) if not name.startswith("_")}
    for_the_command_line = {
        "plan", "snapshot_planned", "resolve_path", "is_revision", "location", "diff_directory",
    }  # fmt: skip
    assert {verb for verb in verbs - for_the_command_line if f".{verb}(" not in TEXT} == set()
    assert {name for name in palatine.__all__ if name not in TEXT} <= {
        "default_cache",
        "__version__",
    }


def test_every_keyword_of_snapshot_is_in_the_table() -> None:
    parameters = inspect.signature(api.Repository.snapshot).parameters.values()
    keywords = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert keywords
    assert {word for word in keywords if f"`{word}`" not in TEXT} == set()
