"""Global options work before and after the command's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Pal


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("spelling", ["two words", "one word"])
def test_repo(pal: Pal, alpha: Path, before: bool, spelling: str) -> None:
    pal("init", "mine")
    options = ["--repo", "mine"] if spelling == "two words" else ["--repo=mine"]
    words = ["snapshot", "alpha"]
    pal(*(options + words if before else words + options))
    assert (pal.root / "mine" / "snapshots").is_dir()
    assert not pal.repository.exists()


@pytest.mark.parametrize(
    "order", [("--json", "log"), ("log", "--json"), ("log", "alpha", "--json")]
)
def test_json(kept: Pal, order: tuple[str, ...]) -> None:
    assert len(kept(*order).result["snapshots"]) == 2


@pytest.mark.parametrize("option", ["-q", "--quiet"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_quiet(own: Pal, option: str, before: bool) -> None:
    words = ["snapshot", "alpha", "--palace", "other"]
    done = own(*([option, *words] if before else [*words, option]))
    assert (done.out, done.err) == ("", "")


@pytest.mark.parametrize("order", [("-v", "log"), ("log", "--verbose")])
def test_verbose(kept: Pal, order: tuple[str, ...]) -> None:
    assert f"repository: {kept.repository}" in kept(*order).err


def test_the_option_wins_over_the_environment(pal: Pal, alpha: Path) -> None:
    pal("init", "one")
    pal("init", "other")
    pal("snapshot", "alpha", env={"PALATINE_REPO": "one"})
    assert "no snapshots yet" in pal("log", "--repo", "other", env={"PALATINE_REPO": "one"}).err
    assert "alpha" in pal("log", env={"PALATINE_REPO": "one"}).out
    pal("log", env={"PALATINE_REPO": ""}, code=10)


def test_quiet_and_verbose_exclude_each_other(kept: Pal) -> None:
    kept("-q", "log", "-v", code=2)


def test_an_argument_that_looks_like_an_option(kept: Pal) -> None:
    assert kept("find", "--", "--json").out == ""
