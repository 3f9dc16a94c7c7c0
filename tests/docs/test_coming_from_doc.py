"""docs/coming-from.md: every command and flag of the other tools, answered with ones that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from palatine.bundle.formats.registry import FORMATS
from palatine.cli.runner import COMMANDS, group

TEXT = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
GROUP: Any = group()
THEIRS = {
    "trusty-memory": "backup restore --all -o --output --palace --merge quiet",
    "ai-memory": (
        "backup restore export import sync sync-daemon migrate --to --keep --db AI_MEMORY_DB --json"
        " --from --skip-verify --trust-source --direction --peers --dry-run"
    ),
    "oxios": "backup restore -o --output /api/system/backup MemoryDatabase::backup",
    "nexo": (
        "snapshot restore list diff export delete verify memory_snapshot --agent --tenant"
        " --state-root --memdir-root --sqlite-root --json --label --no-redact --encrypt --from"
        " --dry-run --no-auto-pre-snapshot --decrypt-identity NEXO_MEMORY_RESTORE_ALLOW --id --to"
        " --yes --bundle scripts/nexo-backup.sh --out --include-secrets"
    ),
}


def rows(section: str) -> list[tuple[str, str]]:
    """Return the two columns of a section's table, its head left out."""
    found = re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return [row for row in found if row[0] != "there" and not row[0].startswith("---")]


@pytest.mark.parametrize("tool", THEIRS)
def test_every_word_of_theirs_has_an_answer(tool: str) -> None:
    table = rows(SECTIONS[tool])
    assert len(table) >= 14
    told = " ".join(left for left, _ in table)
    for word in THEIRS[tool].split():
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", told), word
    assert all(right.strip() for _, right in table)


def test_what_is_said_of_pal_is_so() -> None:
    said = re.findall(r"`(pal [^`]*)`", TEXT)
    assert len(said) > 40
    for command in said:
        words = command.split()
        name = words[1] if words[1] != "FILE" else words[0]
        assert name in COMMANDS, command
        known = _options(GROUP.commands[name]) | _options(GROUP)
        for sub in getattr(GROUP.commands[name], "commands", {}).values():
            known |= _options(sub)
        for word in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words[2:])):
            assert word in known, f"{command}: {word}"


def test_flags_that_stand_alone_are_some_commands() -> None:
    known = set().union(*(_options(GROUP.commands[name]) for name in COMMANDS)) | _options(GROUP)
    for left, right in (row for section in SECTIONS.values() for row in rows(section)):
        for flag in re.findall(r"`(--[a-z-]+)", right):
            assert flag in known, (left, flag)


def test_the_formats_are_those_there_are() -> None:
    told = re.findall(r"^\| `([\w-]+)` \| (.*?) \| (.*?) \|$", TEXT, re.MULTILINE)
    assert {name: layouts for name, _, layouts in told} == {
        one.name: ", ".join(one.layouts) for one in FORMATS
    }
    for name, names, _ in told:
        assert next(one.suffix for one in FORMATS if one.name == name) in names


def _options(command: Any) -> set[str]:
    context = command.make_context("pal", [], resilient_parsing=True)
    return {
        spelling
        for param in command.get_params(context)
        if param.param_type_name == "option"
        for spelling in (*param.opts, *param.secondary_opts)
    }
