"""What is read without typer must mean what typer makes of it."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Pal
from tests.cli.test_startup import HEAVY, imported

from palatine.cli import quick
from palatine.cli.runner import group
from palatine.cli.scan import scan


@pytest.mark.parametrize("name", [*quick.COPYING, "serve"])
def test_the_options_are_those_of_the_command(name: str) -> None:
    flags: set[str] = set()
    values: set[str] = set()
    for param in group(name).commands[name].params:
        if param.param_type_name == "option":
            (flags if getattr(param, "is_flag", False) else values).update(param.opts)
    if name == "serve":
        assert flags >= quick.SERVING_FLAGS
        assert values >= quick.SERVING_OPTIONS
    else:
        assert flags - {"--help", "-h"} == quick.COPYING_FLAGS
        assert values == quick.COPYING_OPTIONS


def test_what_is_read_and_what_is_left_to_typer() -> None:
    flags, options = {"--all", "-q"}, {"--tag", "--repo"}
    found = scan(["push", "--tag", "a", "far", "-q", "--tag=b"], flags, options)
    assert found is not None
    assert (found.words, found.flags) == (["push", "far"], {"-q"})
    assert found.values == {"--tag": ["a", "b"]}
    assert (found.last("--tag"), found.last("--repo")) == ("b", None)
    for other in (["-qv"], ["--help"], ["--tag"], ["--tag", "-q"], ["--all=x"], ["--"], ["--tag="]):
        assert scan(["push", *other], flags, options) is None


def test_serve_needs_no_typer(pal: Pal) -> None:
    pal("init", "there")
    modules = imported(pal, "serve", "--stdio", "--repo", "there", code=1)
    assert "palatine.sync.serving" in modules
    assert not modules & {"typer", "palatine.store.writer", "palatine.sync.fetch", *HEAVY}


def test_an_ssh_program_runs_once(pal: Pal) -> None:
    pal("init", "here")
    pal("--repo", "here", "remote", "add", "far", "ssh://host/there")
    program = pal.root / "ssh"
    program.write_text(f'#!/bin/sh\necho "$@" >> {pal.root}/ran\nexit 255\n')
    program.chmod(0o755)
    pal.environment["PALATINE_SSH"] = str(program)
    ran = pal.root / "ran"
    for words, code, runs in (
        (("push", "far"), 1, 1),
        (("push", "--help"), 0, 0),
        (("push", "far", "--since", "nonsense"), 2, 1),
        (("pull", "far", "--unknown"), 2, 0),
        (("sync", "nowhere"), 2, 0),
        (("push", "far", "-qv"), 2, 0),
        (("push", "far", "-q", "-v"), 2, 1),
    ):
        ran.write_text("")
        pal("--repo", "here", *words, code=code)
        found = len(ran.read_text().splitlines())
        # one that nobody wants may end before it has written anything
        assert found == runs if code < 2 else found <= runs, words
