"""What people see of each command, and what it does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Pal, live


def test_version(pal: Pal) -> None:
    assert re.fullmatch(r"palatine \d+\.\d+\.\d+\n", pal("--version").out)
    assert pal("--version", "--json").result["version"] in pal("--version").out


def test_nothing_is_a_usage_error_with_help(pal: Pal) -> None:
    done = pal(code=2)
    assert done.out == ""
    assert "Commands:" in done.err


def test_init_and_its_digest(pal: Pal) -> None:
    pal("init", "--hash", "sha256", "here")
    assert pal("stats", "--repo", "here", "--json").result["hash"] == "sha256"
    pal("init", "--hash", "md5", "there", code=2)
    assert not (pal.root / "there").exists()


def test_init_offers_all_digests() -> None:
    from typing import get_args, get_type_hints

    from palatine.cli.commands.init import init
    from palatine.ids import DIGESTS

    assert get_args(get_type_hints(init)["hash"]) == DIGESTS


def test_init_takes_the_place_from_anywhere(pal: Pal) -> None:
    pal("init", "--repo", "one")
    pal("init", env={"PALATINE_REPO": "two"})
    pal("init")
    pal("init", "three", "--repo", "four", code=2)
    assert all((one / "config").is_file() for one in (pal.root / "one", pal.root / "two"))
    assert (pal.repository / "config").is_file()


def test_snapshot_makes_the_default_repository_and_says_so(pal: Pal, alpha: Path) -> None:
    assert f"made the repository {pal.repository}" in pal("snapshot", alpha).err
    assert "made" not in pal("snapshot", alpha).err


def test_snapshot_makes_no_repository_that_was_named(pal: Pal, alpha: Path) -> None:
    pal("snapshot", alpha, "--repo", "mine", code=10)
    pal("snapshot", alpha, code=10, env={"PALATINE_REPO": "mine"})
    assert not (pal.root / "mine").exists()


def test_a_typing_error_makes_no_repository(pal: Pal) -> None:
    pal("snapshot", "nothing", "~nobody-of-that-name", code=2)
    assert not pal.repository.exists()


def test_snapshot_of_nothing_new(own: Pal) -> None:
    own("snapshot", "alpha", "--palace", "beta")
    assert "nothing changed" in own("snapshot", "alpha", "--palace", "beta").err
    own("snapshot", "alpha", "--palace", "beta", "--force")
    assert len(own("log", "beta", "--json").result["snapshots"]) == 2


def test_snapshot_options(pal: Pal, alpha: Path) -> None:
    pal("snapshot", alpha, "--palace", "team/mind", "-m", "why", "--tag", "a", "--tag", "b",
        "--exclude", "*.bin", "--exclude", "empty/")  # fmt: skip
    shape = pal("show", "team/mind", "--json").result["snapshot"]
    assert (shape["palace"], shape["message"], shape["tags"]) == ("team/mind", "why", ["a", "b"])
    names = pal("ls", "-r", "team/mind").out
    assert "notes/a.md" in names
    assert "big.bin" not in names
    assert "empty" not in names


def test_snapshot_all(pal: Pal, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "memory").write_text(name)
    (tmp_path / "data" / "file").write_text("no palace")
    pal("snapshot", "--all", "data")
    assert [one["palace"] for one in pal("palaces", "--json").result["palaces"]] == ["one", "two"]
    pal("snapshot", "--all", "data/one", code=2)


def test_snapshot_of_a_database_file(pal: Pal, tmp_path: Path) -> None:
    (tmp_path / "mind.db").write_bytes(b"not really one")
    pal("snapshot", "mind.db")
    assert pal("cat", "mind:mind.db").stdout == b"not really one"


def test_palaces(kept: Pal) -> None:
    head, row = kept("palaces").out.splitlines()
    assert head.split() == ["PALACE", "SNAPSHOTS", "ID", "NEWEST", "SIZE", "PLACE"]
    assert row.startswith("alpha ")
    assert str(kept.root / "alpha") in row


def test_log(kept: Pal) -> None:
    head, second, first = kept("log").out.splitlines()
    assert head.split() == "ID TIME PALACE FILES SIZE ADDED BY TAGS MESSAGE".split()
    assert second.endswith("the second")
    assert first.endswith("keep  the first")
    assert re.match(r"[0-9a-f]{16}  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  alpha ", first)
    assert "293.0 KiB" in first
    (only,) = kept("log", "-n", "1").out.splitlines()[1:]
    assert only.split() == second.split()
    kept("log", "-n", "0", code=2)


def test_log_is_in_local_time(kept: Pal) -> None:
    here = kept("log", env={"TZ": "UTC"}).out
    assert here != kept("log", env={"TZ": "Asia/Tokyo"}).out


def test_log_tells_of_several_heads(own: Pal) -> None:
    elsewhere = own.root / "elsewhere"
    (own.root / "alpha").rename(elsewhere)
    own("snapshot", elsewhere, "--palace", "alpha")  # another place: no parent
    assert "alpha has 2 heads" in own("log").err
    assert "alpha has 2 heads" in own("palaces").err
    assert len(own("palaces", "--json").result["palaces"][0]["heads"]) == 2


def test_show(kept: Pal) -> None:
    out = kept("show", "alpha~").out
    for line in ("palace      alpha", "message     the first", "tags        keep", "place       /"):
        assert f"\n{line}" in out
    assert "3 files, 2 directories, 1 symlink, 293.0 KiB (300,009 bytes)" in out


def test_ls(kept: Pal) -> None:
    assert kept("ls", "alpha:notes").out == "notes/a.md\n"
    names = kept("ls", "alpha").out.splitlines()
    assert {"empty/", "notes/", "large.bin", "new.txt"} <= set(names)
    assert "notes/a.md" in kept("ls", "-r", "alpha").out.splitlines()
    assert re.search(r"^lrwxrwxrwx .* link -> big\.bin$", kept("ls", "-l", "alpha~").out, re.M)
    assert re.search(r"^-rw.* 293\.0 KiB  .*  large\.bin$", kept("ls", "-l", "alpha").out, re.M)


def test_cat_is_byte_for_byte(kept: Pal) -> None:
    live = (kept.root / "alpha" / "large.bin").read_bytes()
    assert kept("cat", "alpha:large.bin").stdout == live
    assert kept("cat", "alpha~:notes/a.md").stdout == b"first\n"
    kept("cat", "alpha:notes", code=2)
    kept("cat", "alpha", code=2)


def test_find_lists_each_version_once(kept: Pal) -> None:
    lines = kept("find", "a.md").out.splitlines()
    assert [line.split()[3] for line in lines] == ["6", "13"]
    assert all(line.endswith(":notes/a.md") for line in lines)
    assert kept("find", "a.md", "--palace", "alpha").out.splitlines() == lines
    kept("find", "a.md", "--palace", "nobody", code=2)
    kept("find", "", code=2)


def test_what_find_prints_is_a_revision(kept: Pal) -> None:
    place = kept("find", "new.txt").out.split()[-1]
    assert kept("cat", place).stdout == b"new"


def test_diff(kept: Pal) -> None:
    lines = kept("diff", "alpha").out.splitlines()
    told = {tuple(line.split(maxsplit=1)) for line in lines[:-1]}
    assert ("renamed", "293.0 KiB  big.bin → large.bin") in told
    assert ("changed", "6 B → 13 B  notes/a.md") in told
    assert ("added", "+3 B  new.txt") in told
    assert ("removed", "link") in told
    assert lines[-1].startswith("1 added, 1 removed, 1 changed, 1 renamed")
    assert lines[-1].endswith("; +10 B")
    assert kept("diff", "alpha~", "alpha").out.splitlines() == lines


def test_diff_with_metadata(own: Pal) -> None:
    (own.root / "alpha" / "new.txt").chmod(0o600)
    plain = own("diff", "alpha", "./alpha").out
    assert "new.txt" not in plain
    assert "1 with other metadata only (--metadata lists them)" in plain
    assert re.search(
        r"^metadata\s+new\.txt$", own("diff", "alpha", "./alpha", "--metadata").out, re.M
    )


def test_diff_of_a_directory(own: Pal) -> None:
    assert own("diff", "alpha", own.root / "alpha").out == "nothing changed\n"
    live_again = own.root / "alpha" / "new.txt"
    live_again.write_text("newer")
    assert re.search(r"changed +3 B → 5 B  new.txt", own("diff", "alpha", "./alpha").out)


def test_diff_says_what_it_took_a_word_for(own: Pal) -> None:
    (own.root / "alpha" / "new.txt").write_text("newer")
    done = own("diff", "alpha", "alpha")
    assert done.out == "nothing changed\n"
    assert "alpha is taken as a revision; ./alpha would be the path" in done.err
    (own.root / "alpha").rename(own.root / "beta")
    done = own("diff", "alpha", "beta")
    assert "new.txt" in done.out
    assert "beta is taken as a path: no revision is called that" in done.err
    assert own("diff", "alpha", "./beta").err == ""
    own("diff", "alpha", "gamma", code=2)
    own("diff", "alpha", "./gamma", code=2)
    own("diff", "./beta", code=2)


def test_restore(own: Pal) -> None:
    assert "restored alpha" in own("restore", "alpha", "out").err
    same = subprocess.run(
        ["diff", "-r", "--no-dereference", "out", "alpha"], cwd=own.root, check=False
    )
    assert same.returncode == 0
    own("restore", "alpha~", "some", "--path", "notes", "--path", "link")
    assert sorted(one.name for one in (own.root / "some").iterdir()) == ["link", "notes"]
    own("restore", "alpha", "none", "--path", "nothing", code=2)
    assert not (own.root / "none").exists()


def test_restore_dry_run_writes_nothing(own: Pal) -> None:
    done = own("restore", "alpha", "out", "--dry-run")
    assert re.search(r"13 B  notes/a.md\n", done.out)
    assert "would restore alpha" in done.err
    assert not (own.root / "out").exists()


def test_verify_says_how_far_it_looked(kept: Pal) -> None:
    assert "contents were not read" in kept("verify").out
    assert "a sample only" in kept("verify", "--sample", "50%").out
    assert "every byte" in kept("verify", "--data").out
    assert kept("verify", "--data", "-q").out == ""
    for bad in ("0%", "101%", "2", "-1", "some", "nan%"):
        kept("verify", f"--sample={bad}", code=2)
    kept("verify", "--data", "--sample", "5%", code=2)


def test_tags(own: Pal) -> None:
    own("tag", "alpha", "été")
    own("tag", "alpha", "keep")
    assert own("show", "alpha#été", "--json").result["snapshot"]["message"] == "the second"
    rows = own("tag").out.splitlines()
    assert [row.split()[0] for row in rows] == ["TAG", "keep", "keep", "été"]
    own("tag", "-d", "alpha", "keep")
    assert own("show", "tag:keep", "--json").result["snapshot"]["message"] == "the first"
    own("tag", "-d", "alpha", "keep", code=2)
    own("tag", "alpha", code=2)
    own("tag", "-d", code=2)
    own("tag", "alpha", "two\nlines", code=2)


def test_stats(kept: Pal) -> None:
    out = kept("stats").out
    assert re.search(r"^palaces +1$", out, re.M)
    assert re.search(r"^snapshots +2, 586\.0 KiB as full copies$", out, re.M)


def test_reindex_after_the_index_was_lost(own: Pal) -> None:
    for segment in (own.repository / "index").rglob("*"):
        segment.unlink()
    assert re.match(r"indexed \d+ packs\n", own("reindex").err)
    own("verify", "--data")


def test_help(kept: Pal) -> None:
    assert "PALACE#TAG" in kept("help", "revisions").out
    assert kept("help", "log").out == kept("log", "--help").out
    assert kept("help").out == kept("--help").out
    kept("help", "nothing", code=2)


@pytest.mark.parametrize(
    "revision", ["alpha@{1s}", "alpha@{2001-01-01}", "alpha~5", "alpha@{soon}"]
)
def test_revisions_that_lead_nowhere(kept: Pal, revision: str) -> None:
    if revision == "alpha@{1s}":
        revision = "alpha@{9y}"
    kept("show", revision, code=2)


def test_revisions_by_time(kept: Pal) -> None:
    second, first = kept("log", "--json").result["snapshots"]
    at = f"alpha@{{{first['time'].removesuffix('Z')}}}"
    assert kept("show", at, "--json").result["snapshot"]["id"] == first["id"]
    assert kept("show", first["id"][:8], "--json").result["snapshot"]["id"] == first["id"]
    assert kept("show", "alpha@{9999-01-01}", "--json").result["snapshot"]["id"] == second["id"]


def test_colours_only_where_they_are_wanted(kept: Pal) -> None:
    assert "\x1b" not in kept("log").out
    assert "\x1b[33m" in _on_a_terminal(kept, {})
    assert "\x1b" not in _on_a_terminal(kept, {"NO_COLOR": "1"})
    assert "\x1b" not in _on_a_terminal(kept, {"TERM": "dumb"})


def _on_a_terminal(pal: Pal, env: dict[str, str]) -> str:
    import os
    import pty

    ours, theirs = pty.openpty()
    try:
        done = pal("log", env={"TERM": "xterm", **env}, capture_output=False, stdout=theirs,
                   stderr=subprocess.DEVNULL)  # fmt: skip
        assert done.code == 0
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def test_live_helper_changes_what_it_says(alpha: Path) -> None:
    live(alpha)
    assert not (alpha / "link").is_symlink()
