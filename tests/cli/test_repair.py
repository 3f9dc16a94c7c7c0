"""pal repair, as people and programs see it."""

from __future__ import annotations

import shutil

from tests.cli.conftest import Pal
from tests.cli.test_exit_codes import flip
from tests.cli.test_json import CHANGING, check


def hurt(own: Pal) -> None:
    """Damage every pack in its middle; the palace is not where it was."""
    for pack in own.packs():
        flip(pack, pack.stat().st_size // 2)


def test_a_sound_repository(own: Pal) -> None:
    assert own("repair").out == "no damage found\n"


def test_what_is_lost_is_told_and_exits_with_4(own: Pal) -> None:
    shutil.rmtree(own.root / "alpha")
    hurt(own)
    own("verify", "--data", code=4)
    told = own("repair", "--dry-run", code=4).out
    assert "hit      " in told
    assert "lost: " in told
    done = own("repair", "--json", code=4)
    check(done.result, CHANGING[("repair",)])
    assert done.error["code"] == "damaged"
    assert done.result["lost"]
    own("verify", "--data")
    assert "incomplete" in own("log").out
    told = own("repair").out
    assert "still lacks what it lost earlier" in told


def test_a_copy_of_the_palace_mends_its_snapshot(own: Pal) -> None:
    hurt(own)
    newest = own("log", "--json").result["snapshots"][0]["id"]
    result = own("repair", "--from", "alpha", "--json", code=4).result
    check(result, CHANGING[("repair",)])
    assert result["objects_found"]
    assert newest not in [one["snapshot"]["id"] for one in result["lost"]]
    assert own("diff", newest, "./alpha").code == 0
    own("verify", "--data")


def test_a_place_that_is_not_there(own: Pal) -> None:
    assert "there is nothing at" in own("repair", "--from", "nowhere", code=2).err


def test_no_repository(pal: Pal) -> None:
    pal("repair", code=10)
