"""docs/cli.md and the README tell of everything there is, and of nothing else."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_json import CHANGING, CONTRACT

from palatine import errors
from palatine.cli import failures
from palatine.cli.environment import Environment
from palatine.cli.invocation import Invocation
from palatine.cli.runner import COMMANDS, group

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
GROUP: Any = group()


def section(name: str) -> str:
    """Return what the page says under a heading."""
    found = re.search(rf"^(#+) {name}\n(.*?)(?=^#{{2,3}} |\Z)", PAGE, re.M | re.S)
    assert found is not None, f"docs/cli.md has no section {name!r}"
    return found[2]


def options(command: Any) -> set[str]:
    """Return every spelling of every option of a command."""
    context = command.make_context("pal", [], resilient_parsing=True)
    return {
        spelling
        for param in command.get_params(context)
        if param.param_type_name == "option"
        for spelling in (*param.opts, *param.secondary_opts)
    }


def test_every_command_and_no_other() -> None:
    assert set(re.findall(r"^### pal (\S+)$", PAGE, re.M)) == set(COMMANDS)
    assert re.findall(r"^### pal (\S+)$", PAGE, re.M) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option(name: str) -> None:
    told = section(f"pal {name}")
    everywhere = section("Global options")
    for spelling in options(GROUP.commands[name]):
        word = rf"(?<![\w-]){re.escape(spelling)}(?![\w-])"
        assert re.search(word, told) or re.search(word, everywhere), f"{name} {spelling}"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_that_is_not_there(name: str) -> None:
    known = {*options(GROUP.commands[name]), *options(GROUP)}
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", section(f"pal {name}")))
    assert told <= known


def test_every_global_option() -> None:
    told = section("Global options")
    for spelling in options(GROUP):
        assert f"`{spelling}" in told


def test_every_exit_code() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.M)}
    assert told == set(failures.MEANINGS)


def test_exit_codes_of_commands_are_among_theirs() -> None:
    for name in COMMANDS:
        told = {int(code) for code in re.findall(r"\b[Ee]xit (\d+)", section(f"pal {name}"))}
        assert told <= set(GROUP.commands[name].codes), name


def test_every_error_code() -> None:
    kinds = [errors.PalatineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    words = {kind.code for kind in kinds if kind.__module__ == "palatine.errors"} - {"error"}
    words |= {"incomplete", "output", "system", "interrupted", "bug"}
    told = re.search(r"^`code` is one of.*?\n\n", section("JSON"), re.M | re.S)
    assert told is not None
    assert set(re.findall(r"`([a-z-]+)`", told[0])) - {"code"} == words


def test_every_field_of_the_contract() -> None:
    results = section("Results")
    parts = section("Parts")
    for arguments, schema in [*CONTRACT.items(), *CHANGING.items()]:
        told = re.search(rf"^{arguments[0]} +.*?(?=^\S)", results, re.M | re.S)
        assert told is not None, arguments[0]
        for field in schema:
            assert re.search(rf"\b{field}\b", told[0]), (arguments, field)
    from tests.cli.test_json import CHANGE, ENTRY, REFERENCE, SNAPSHOT

    for field in {*REFERENCE, *SNAPSHOT, *(one.removesuffix("?") for one in ENTRY)}:
        assert re.search(rf"\b{field}\b", parts), field
    for field in CHANGE:
        assert re.search(rf"\b{field}\b", results), field


@pytest.mark.parametrize("line", re.findall(r"^\$ (pal .*)$", README, re.M))
def test_the_tour_parses(line: str) -> None:
    words = shlex.split(re.split(r" [|>#] ?", line)[0])[1:]
    context = GROUP.make_context(
        "pal", words, obj=Invocation(Environment(None, False, True), words)
    )
    name, command, rest = GROUP.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, rest, parent=context)


def test_the_readme_begins_with_two_commands() -> None:
    first = re.search(r"```\n(.*?)```", README, re.S)
    assert first is not None
    assert [line.partition("#")[0].strip() for line in first[1].splitlines()] == [
        "make demo",
        "make test",
    ]


def test_links_lead_somewhere() -> None:
    for page, text in ((ROOT / "README.md", README), (ROOT / "docs" / "cli.md", PAGE)):
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert (page.parent / link).exists(), link
