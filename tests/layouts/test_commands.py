"""What the command line shows of layouts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import pytest
from tests.cli.conftest import Pal

from palatine.testing.families import FAMILIES, Made


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    return Pal(tmp_path)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return FAMILIES["mempalace"](tmp_path / "data", Random(1))


def test_discover_is_what_all_takes(pal: Pal, made: Made) -> None:
    table = pal("palaces", "--discover", "data").out.splitlines()
    assert table[0].split() == ["PALACE", "LAYOUT", "PLACE"]
    assert table[1].split() == ["mempalace", "mempalace", str(made.palace)]
    assert {line.split()[0] for line in table[2:]} == {f"@{name}" for name in made.outside}
    assert not pal.repository.exists()
    (found,) = pal("palaces", "--discover", "data", "--json").result["discovered"]
    assert {one["name"]: Path(one["place"]) for one in found["outside"]} == made.outside
    taken = pal("snapshot", "--all", "data", "--json").result["palaces"]
    assert [(one["palace"], one["source"]) for one in taken] == [("mempalace", found["source"])]


def test_discover_of_nothing(pal: Pal, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert "no palace" in pal("palaces", "--discover", "data").err
    pal("palaces", "--discover", "nowhere", code=2)


def test_show(pal: Pal, made: Made) -> None:
    pal("snapshot", made.palace)
    out = pal("show", "mempalace", "--counts").out
    assert re.search(r"^layout +mempalace$", out, re.M)
    assert re.search(r"^artifact +chroma.sqlite3: drawers, (stable|pinned)", out, re.M)
    assert f"outside     @tunnels from {made.outside['tunnels']}" in out
    assert re.search(r"^count +drawers: 33$", out, re.M)
    assert pal("show", "mempalace", "--counts", "--json").result["counts"] == made.counts
    assert "counts" not in pal("show", "mempalace", "--json").result


def test_derived_artifacts_are_told(pal: Pal, tmp_path: Path) -> None:
    made = FAMILIES["trusty-sqlite"](tmp_path / "data", Random(1))
    pal("snapshot", made.palace)
    assert re.search(r"index\.usearch: vector-index, stable, derived", pal("show", "localLLM").out)
    derived = pal("show", "localLLM", "--json").result["derived"]
    assert derived == ["index.usearch", "index.usearch.keymap.json"]


def test_counting_nothing_is_told(pal: Pal, tmp_path: Path) -> None:
    made = FAMILIES["generic"](tmp_path / "data", Random(1))
    pal("snapshot", made.palace)
    assert "counts nothing" in pal("show", "diary", "--counts").err


def test_restore_tells_where_outside_parts_went(pal: Pal, made: Made, tmp_path: Path) -> None:
    pal("snapshot", made.palace)
    done = pal("restore", "mempalace", "back", "--json")
    assert sorted(one["name"] for one in done.result["outside"]) == sorted(made.outside)
    told = pal("restore", "mempalace", "again").err
    assert f"went to {tmp_path / 'again.outside' / 'tunnels'}" in told
    assert "not restored" in pal("restore", "mempalace", "part", "--path", "chroma.sqlite3").err
    assert "part.outside" not in os.listdir(tmp_path)
    assert pal("ls", "mempalace:@tunnels").out.split() == ["@tunnels/tunnels.json"]


def test_a_renamed_copy_says_what_was_changed(pal: Pal, tmp_path: Path) -> None:
    made = FAMILIES["trusty-sqlite"](tmp_path / "data", Random(1))
    pal("snapshot", made.palace)
    done = pal("restore", "localLLM", "beta", "--as", "beta")
    assert "palace.json: id, which was localLLM, is beta" in done.err
    assert "recall.db: palace_id, which was localLLM, is beta (7 rows)" in done.err
    plan = pal("restore", "localLLM", "gamma", "--as", "gamma", "--dry-run", "--json").result
    assert {(one["path"], one["key"], one["new"], one["rows"]) for one in plan["renamed"]} == {
        ("palace.json", "id", "gamma", None),
        ("palace.json", "name", "gamma", None),
        ("palace.json", "data_dir", str(tmp_path / "gamma"), None),
        ("recall.db", "palace_id", "gamma", 7),
    }
    assert pal("snapshot", "beta", "--json").result["palaces"][0]["palace"] == "beta"
    assert "data_dir is" in pal("restore", "localLLM", "plain").err
    pal("restore", "localLLM", "x", "--as", "no good", code=2)
    pal("restore", "localLLM", made.palace, "--as", "beta", "--replace", code=2)


def test_parts_are_chosen_and_go_back_to_their_places(pal: Pal, made: Made) -> None:
    pal("snapshot", made.palace)
    tunnels = made.outside["tunnels"]
    data = tunnels.read_bytes()
    pal("restore", "mempalace", "t", "--outside", "--path", "@tunnels", code=5)
    tunnels.unlink()
    assert "@tunnels/tunnels.json" in pal("diff", "mempalace", made.palace).out
    done = pal("restore", "mempalace", "t", "--outside", "--path", "@tunnels", "--json").result
    assert done["outside"] == [{"name": "tunnels", "place": str(tunnels), "target": str(tunnels)}]
    assert tunnels.read_bytes() == data
    assert pal("diff", "mempalace", made.palace, "--json").result["changes"] == []
    pal("restore", "mempalace", "u", "--kind", "drawers")
    assert os.listdir(pal.root / "u") == ["chroma.sqlite3"]
    assert "drawers" in pal("restore", "mempalace", "v", "--kind", "no", code=2).err
