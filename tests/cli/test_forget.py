"""pal forget, pal policy, and what was forgotten, through the real command line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Done, Pal, make_palace


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> Pal:
    """`pal` with four snapshots of alpha; their ids, oldest first, are in the file `ids`."""
    pal = Pal(tmp_path_factory.mktemp("four"))
    alpha = make_palace(pal.root / "alpha")
    ids = []
    for number in range(4):
        (alpha / "notes" / "a.md").write_text(f"version {number}\n")
        done = pal("snapshot", alpha, "-m", f"number {number}", "--json")
        ids.append(done.result["palaces"][0]["snapshot"]["id"])
    (pal.root / "ids").write_text(json.dumps(ids))
    return pal


@pytest.fixture
def several(four: Pal, tmp_path: Path) -> Pal:
    """The same, to be changed at will."""
    root = tmp_path / "several"
    shutil.copytree(four.root, root, symlinks=True)
    return Pal(root)


def ids(pal: Pal) -> list[str]:
    found = json.loads((pal.root / "ids").read_text())
    assert isinstance(found, list)
    return found


def there(pal: Pal, *options: str) -> list[str]:
    """Return the ids that `pal log` lists, oldest first."""
    return [one["id"] for one in pal("log", "--json", *options).result["snapshots"]][::-1]


def verdicts(done: Done) -> list[str]:
    """Return the first word of each line of the table."""
    return [line.split()[0] for line in done.out.splitlines()[1:]]


def test_each_snapshot_is_printed_with_its_reason(several: Pal) -> None:
    done = several("forget", "--keep-last", "2", "--dry-run")
    assert verdicts(done) == ["stays", "stays", "goes", "goes"]
    assert [line.rpartition("  ")[2] for line in done.out.splitlines()[1:]] == [
        "last", "last", "older than the rules reach", "older than the rules reach",
    ]  # fmt: skip
    assert "would forget 2 snapshots of 4" in done.err
    assert there(several) == ids(several)
    done = several("forget", "--keep-last", "2")
    assert "forgot 2 snapshots of 4" in done.err
    assert there(several) == ids(several)[2:]
    assert there(several, "--forgotten") == ids(several)[:2]


def test_what_was_forgotten_is_read_and_brought_back(several: Pal) -> None:
    first = ids(several)[0]
    several("forget", first, "-q")
    done = several("restore", first[:12], "out")
    assert "was forgotten" in done.err
    assert (several.root / "out" / "notes" / "a.md").read_text() == "version 0\n"
    assert several("cat", f"{first[:10]}:notes/a.md").out == "version 0\n"
    shown = several("log", "--forgotten")
    assert first[:16] in shown.out
    assert "pal tag ID TAG" in shown.err
    done = several("tag", first[:12], "wanted", "--json")
    assert done.result["snapshot"]["tags"] == ["wanted"]
    assert done.object["notices"] == [f"{first[:16]} of alpha was forgotten: it is back"]
    assert there(several) == ids(several)
    assert "nothing was forgotten" in several("log", "--forgotten").err
    several("verify", "--data")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no rule"),
        (("--keep-last", "0"), "no rule"),
        (("alpha", "--keep-last", "1"), "either named or chosen"),
        (("alpha", "--palace", "alpha"), "either named or chosen"),
        (("--keep-last", "x"), "no number"),
        (("--keep-last", "-1"), "no number"),
        (("--keep-daily", "1.5"), "no number"),
        (("--keep-within", "30"), "not a length of time"),
        (("--keep-within", "6m"), "not a length of time"),
        (("--keep-last", "1", "--zone", "Nowhere/At-All"), "no time zone"),
        (("--keep-last", "1", "--group-by", "host"), "neither place nor palace"),
        (("--keep-last", "1", "--palace", "beta"), "no palace"),
        (("--keep-tag", ""), "not a tag"),
        (("beta",), "no snapshot is called"),
    ],
)
def test_what_makes_no_sense_is_refused(four: Pal, words: tuple[str, ...], says: str) -> None:
    assert says in four("forget", *words, code=2).err


def test_what_is_protected_is_refused(several: Pal) -> None:
    first, *_, last = ids(several)
    several("tag", first, "release")
    done = several("forget", first, "--json", code=5)
    assert done.error["hint"] == f"take each away first: pal tag -d {first[:16]} release"
    several("forget", *ids(several)[1:], last)
    several("tag", "-d", first, "release")
    assert "last snapshot" in several("forget", first, code=5).err
    several("forget", first, "--even-last")
    assert there(several) == []
    assert len(there(several, "--forgotten")) == 4


def test_what_is_amiss_is_pointed_out(pal: Pal, alpha: Path) -> None:
    pal("snapshot", alpha)
    large = alpha / "large"
    large.write_bytes(bytes(range(256)) * 8000)
    pal("snapshot", alpha)
    large.unlink()
    pal("snapshot", alpha)
    done = pal("forget", "--keep-last", "1", "--dry-run")
    assert verdicts(done) == ["stays", "stays", "goes"]
    assert re.search(r"is much smaller than \w{16} before it \(293.0 KiB after 2.2 MiB\)", done.err)
    result = pal("forget", "--keep-last", "1", "--json").result
    newest, before, _ = result["snapshots"]
    assert newest["shrunk_from"]["id"] == before["snapshot"]["id"]
    assert [one["rule"] for one in newest["reasons"]] == ["last", "shrunk"]
    assert [one["rule"] for one in before["reasons"]] == ["before-shrink"]
    assert before["reasons"][0]["other"] == newest["snapshot"]["id"]
    # its time over, it goes, but not without a word: the wall clock is the library's to set


def test_a_policy_is_stored_shown_and_taken_back(several: Pal) -> None:
    assert "gc forgets nothing" in several("policy").err
    several("policy", "set", code=2)
    several("policy", "show", "--keep-last", "1", code=2)
    several("policy", "nonsense", code=2)
    set_all = several("policy", "set", "--keep-daily", "7", "--keep-tag", "a b", "--json").result
    assert set_all["rules"][0]["command"] == (
        "pal policy set --keep-daily 7 --keep-tag 'a b' --zone UTC"
    )
    several("policy", "set", "--palace", "alpha", "--keep-last", "all", "--zone", "Asia/Calcutta")
    rules = several("policy", "--json").result["rules"]
    assert [one["palace"] for one in rules] == [None, "alpha"]
    assert (rules[0]["keep"]["daily"], rules[1]["keep"]["last"]) == (7, None)
    assert [one["zone"] for one in rules] == ["UTC", "Asia/Calcutta"]
    (own,) = several("policy", "show", "--palace", "alpha", "--json").result["rules"]
    (general,) = several("policy", "show", "--palace", "beta", "--json").result["rules"]
    assert [own, general] == rules[::-1]
    assert several("policy", "unset", "--palace", "alpha", "--json").result["rules"] == rules[:1]
    assert several("policy", "unset", "--json").result["rules"] == []
    assert there(several) == ids(several)


def test_the_command_that_is_suggested_can_be_run(several: Pal) -> None:
    done = several("policy", "suggest")
    assert done.out.startswith("pal policy set --keep-hourly 24 ")
    assert re.search(r"alpha: \d of 4 snapshots would stay", done.err)
    several(*done.out.split()[1:])
    keep = several("policy", "--json").result["rules"][0]["keep"]
    assert keep == several("policy", "suggest", "--json").result["keep"]
    only = several("policy", "suggest", "--palace", "alpha", "--json").result
    assert only["command"].startswith("pal policy set --palace alpha --keep-hourly 24 ")


def test_a_zone_without_a_name_is_told(several: Pal) -> None:
    posix = {"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}
    done = several("policy", "set", "--keep-last", "1", "--json", env=posix)
    assert done.result["rules"][0]["zone"] is None
    assert "--zone names one" in done.object["notices"][0]
    assert several("forget", "--keep-last", "9", "--dry-run", env=posix).code == 0


def test_damage_stops_rules_but_not_names(several: Pal) -> None:
    newest = sorted((several.repository / "snapshots").rglob("*Z-*"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    done = several("forget", "--keep-last", "1", "--json", code=4)
    assert done.error["code"] == "damaged"
    several("forget", ids(several)[0])
    assert len(list((several.repository / "snapshots").rglob("*Z-*"))) == 3
    (several.repository / "policy").mkdir()
    (several.repository / "policy" / "1").write_text("{}\n")
    assert several("policy", "--json", code=4).error["code"] == "malformed"
    several("policy", "set", "--keep-last", "1")
    several("policy")


def test_differences_to_what_is_left(several: Pal) -> None:
    several("forget", *ids(several)[1:3])
    done = several("diff", "alpha", "--json")
    assert done.result["old"]["id"] == ids(several)[0]
    assert "its parent was forgotten" in done.object["notices"][0]
    several("forget", ids(several)[0])
    done = several("diff", "alpha", "--json")
    assert done.result["old"] is None
    assert "compared with nothing" in done.object["notices"][0]
