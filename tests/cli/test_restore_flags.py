"""What does not go together on pal restore: exit 2, and nothing was done."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Pal

from palatine.errors import UsageError
from palatine.ops.restoring import Mode, Request, check_mixture
from palatine.testing.builders import state_of

MODES = {
    "": set("path kind dry-run as outside".split()),
    "--replace": set("path kind dry-run outside".split()),
    "--live": set("path kind dry-run outside delete".split()),
    "--merge": set("path kind dry-run outside prefer".split()),
    "--undo": {"outside"},
}
"""The modes, and what each can be asked for besides."""

FLAGS = {
    "path": ["--path", "notes"],
    "kind": ["--kind", "sqlite"],
    "dry-run": ["--dry-run"],
    "as": ["--as", "other"],
    "outside": ["--outside"],
    "delete": ["--delete"],
    "prefer": ["--prefer", "theirs"],
}


def wrong_pairs() -> list[list[str]]:
    modes = [mode for mode in MODES if mode]
    two = [list(pair) for pair in itertools.combinations(modes, 2)]
    more = [
        [*([mode] if mode else []), *words]
        for mode, allowed in MODES.items()
        for flag, words in FLAGS.items()
        if flag not in allowed
    ]
    return two + more


def test_every_wrong_pair_is_a_usage_error(own: Pal) -> None:
    assert len(wrong_pairs()) == 6 + 2 + 3 + 2 + 2 + 6
    before = state_of(own.root / "alpha")
    for words in wrong_pairs():
        arguments = ["alpha"] if "--undo" in words else ["alpha~", "alpha"]
        done = own("restore", *arguments, *words, code=2)
        assert done.err.count("\n") <= 3, done.err
        flags = [word for word in words if word.startswith("--")]
        assert all(flag in done.err for flag in flags), done.err
    assert state_of(own.root / "alpha") == before
    assert len(own("log", "alpha", "--json").result["snapshots"]) == 2


def test_every_mixture_is_judged_as_the_table_says() -> None:
    fields: dict[str, dict[str, Any]] = {
        "path": {"paths": (b"notes",)}, "kind": {"kinds": ("sqlite",)},
        "dry-run": {"dry_run": True}, "as": {"as_name": "other"},
        "outside": {"outside": True}, "delete": {"delete": True},
        "prefer": {"prefer": "ours"},
    }  # fmt: skip
    for mode, allowed in MODES.items():
        kind = Mode(mode.removeprefix("--") or "new")
        for number in range(len(FLAGS) + 1):
            for flags in itertools.combinations(FLAGS, number):
                options = {key: value for flag in flags for key, value in fields[flag].items()}
                request = Request(Path("target"), kind, **options)
                if set(flags) <= allowed:
                    check_mixture(request)
                else:
                    with pytest.raises(UsageError) as raised:
                        check_mixture(request)
                    assert raised.value.hint


@pytest.mark.parametrize(
    "words",
    [["alpha"], [], ["--undo"], ["--undo", "alpha", "alpha"], ["alpha", "x", "--prefer", "mine"],
     ["alpha", "x", "--lock-timeout", "-1"]],
)  # fmt: skip
def test_arguments_that_make_no_sense(own: Pal, words: list[str]) -> None:
    own("restore", *words, code=2)


def test_over_a_palace_and_back(own: Pal) -> None:
    palace = own.root / "alpha"
    own("snapshot", palace, "--palace", "alpha-here")
    now = state_of(palace)
    refused = own("restore", "alpha~", palace, code=5)
    assert "--replace" in refused.err
    plan = own("restore", "alpha~", palace, "--replace", "--dry-run")
    assert "write" in plan.out
    assert "notes/a.md" in plan.out
    assert "would restore" in plan.err
    done = own("restore", "alpha~", palace, "--replace")
    assert "tagged pre-restore" in done.err
    assert "pal restore --undo" in done.err
    assert "1 path removed" in done.err or "paths removed" in done.err
    assert (palace / "notes" / "a.md").read_text() == "first\n"
    again = own("restore", "alpha~1", palace, "--replace")
    assert "tagged" not in again.err
    own("restore", "--undo", palace)
    assert state_of(palace) == now
    shape = own("restore", "--undo", palace, "--json").result
    assert shape["mode"] == "replace"
    assert shape["pre_restore"]["snapshot"]["palace"] == "alpha-here"
    own("restore", "--undo", own.root / "nothing", code=2)


def test_a_palace_in_use_is_refused_with_the_way_out(own: Pal) -> None:
    palace = own.root / "alpha"
    with (palace / "notes" / "a.md").open():
        done = own("restore", "alpha~", palace, "--replace", code=5)
    assert f"process {os.getpid()} (" in done.err
    assert "--live" in done.err
