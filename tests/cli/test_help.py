"""Help: every command lists its exit codes and has examples that parse."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from tests.cli.conftest import Pal

from palatine.cli.environment import Environment
from palatine.cli.failures import MEANINGS
from palatine.cli.invocation import Invocation
from palatine.cli.runner import COMMANDS, group
from palatine.ops.moments import parse as parse_moment

GROUP = group()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_and_exit_codes(pal: Pal, name: str) -> None:
    out = pal(name, "--help").out
    assert out == pal("help", name).out
    examples = re.search(r"^Examples:\n((?:  .+\n)+)", out, re.M)
    codes = re.search(r"^Exit codes:\n((?:  .+\n)+)", out, re.M)
    assert examples is not None
    assert codes is not None
    assert all(line.startswith("  pal ") for line in examples[1].splitlines())
    listed = {int(number) for number in re.findall(r"^  (\d+) ", codes[1], re.M)}
    assert {0, 1, 2, 130} <= listed <= MEANINGS.keys()
    assert "Global options:\n  --repo DIRECTORY" in out
    assert not pal.repository.exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_parse(name: str) -> None:
    command: Any = GROUP.commands[name]
    assert command.examples
    for example in command.examples:
        for moment in re.findall(r"@\{(.*?)\}", example):
            parse_moment(moment, 0)
        words = shlex.split(example.partition(" > ")[0])
        assert words[0] == "pal"
        invocation = Invocation(Environment(None, False, True), words[1:])
        context = GROUP.make_context("pal", words[1:], obj=invocation)
        called, inner, rest = GROUP.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert inner is not None
        inner.make_context(called, rest, parent=context)


def test_the_group_lists_every_command(pal: Pal) -> None:
    out = pal("-h").out
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", out, re.M)
    assert "..." not in out.partition("Options:")[0].replace("[ARGS]...", "")
