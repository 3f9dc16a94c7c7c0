"""pal export: files, exit codes, and what is told."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random

from tests.bundle.archives import check_sums, unpacked
from tests.bundle.crypting import age, age_key
from tests.cli.conftest import Pal
from tests.cli.test_exit_codes import flip, one_line
from tests.cli.test_json import EXPORTED, REDACTED, check

from palatine.testing.builders import differences, state_of

SECRET = "sk-ant-" + "a1B2" * 12


def test_a_bundle_and_its_hash(own: Pal) -> None:
    done = own("export", "alpha", "out.tar.zst")
    assert done.out == ""
    assert "exported alpha" in done.err
    check_sums(own.root, "out.tar.zst.sha256")
    out = unpacked(own.root / "out.tar.zst", own.root / "out")
    assert differences(state_of(own.root / "alpha"), state_of(out / "palace")) == []


def test_what_is_there_is_refused(own: Pal) -> None:
    (own.root / "out").write_text("precious")
    assert "--force replaces it" in one_line(own("export", "alpha", "out", code=5))
    assert (own.root / "out").read_text() == "precious"
    own("export", "alpha", "out", "--force")
    check_sums(own.root, "out.sha256")


def test_into_a_directory(own: Pal) -> None:
    own("export", "alpha", "new/")
    own("export", "alpha~", "new", "-q")
    names = sorted(path.name for path in (own.root / "new").iterdir())
    assert len(names) == 4
    assert all(name.startswith("alpha-20") for name in names)


def test_every_palace(own: Pal) -> None:
    own("snapshot", "alpha/notes", "--palace", "team/beta")
    assert own("export", "--all", "all").err.count("exported ") == 2
    names = sorted(path.name for path in (own.root / "all").glob("*.zst"))
    assert [name.split("-")[0] for name in names] == ["alpha", "team+beta"]
    (own.root / "all" / names[0]).unlink()
    (own.root / "all" / f"{names[0]}.sha256").unlink()
    done = own("export", "--all", "all", "--json", code=3)
    first, second = done.result["exports"]
    check(first["export"], EXPORTED)
    assert (second["palace"], second["error"]["code"]) == ("team/beta", "exists")
    own("export", "--all", "all", code=5)


def test_no_palace_at_all(pal: Pal) -> None:
    pal("init")
    assert "no palaces yet" in pal("export", "--all", "all").err


def test_palaces_that_a_format_is_not_for_are_left_out(own: Pal) -> None:
    done = own("export", "--all", "all", "--format", "trusty")
    assert "alpha is left out" in done.err
    assert "cannot be written as trusty" in one_line(
        own("export", "alpha", "out", "--format", "trusty", code=2)
    )


def test_arguments_that_do_not_go_together(own: Pal) -> None:
    for words in (
        ["export"], ["export", "alpha"], ["export", "alpha", "out", "--all", "all"],
        ["export", "alpha", "out", "--redact-rule", "a=b"],
        ["export", "alpha", "out", "--keep-git-history"],
        ["export", "alpha", "out", "--level", "20"], ["export", "alpha", "out.age"],
        ["export", "alpha", "out", "--encrypt", "age1"], ["export", "no-such-palace", "out"],
    ):  # fmt: skip
        one_line(own(*words, code=2))
    assert not list(own.root.glob("out*"))


def test_damage_leaves_no_file(own: Pal) -> None:
    for pack in own.packs():
        flip(pack, pack.stat().st_size // 3)
    assert "pal verify" in one_line(own("export", "alpha", "out", code=4))
    assert not list(own.root.glob("out*"))


def test_encrypted(own: Pal) -> None:
    keys = own.root / "keys"
    (own.root / "recipients").write_text(f"# mine\n{age_key(keys)}\n")
    own("export", "alpha", "out.tar.zst.age", "--encrypt", "recipients")
    own("export", "alpha", "out.tar.zst")
    plain = age("-d", "-i", keys, data=(own.root / "out.tar.zst.age").read_bytes())
    assert plain == (own.root / "out.tar.zst").read_bytes()
    (own.root / "secret").write_text("correct horse\n")
    assert "encrypted" in own("export", "alpha", "out2", "--passphrase-file", "secret").err


def test_redacted(pal: Pal) -> None:
    palace = pal.root / "alpha"
    palace.mkdir()
    (palace / "a.md").write_text(f"it is {SECRET}, customer C-123456\n")
    pal("snapshot", palace)
    words = ("export", "alpha", "out", "--redact", "--redact-rule", "customer=C-[0-9]{6}")
    done = pal(*words)
    assert "palace/a.md  anthropic-api-key" in done.out
    assert "2 matches were replaced in 1 file" in done.err
    assert SECRET not in done.out + done.err
    out = unpacked(pal.root / "out", pal.root / "unpacked")
    expected = "it is [REDACTED:anthropic-api-key], customer [REDACTED:customer]\n"
    assert (out / "palace" / "a.md").read_text() == expected
    dry = pal("export", "alpha", "--redact-dry-run", "--json").result
    check(dry, {**EXPORTED, "file": None, "redaction": REDACTED})
    assert (dry["redaction"]["dry_run"], dry["redaction"]["matches"]) == (True, 1)


def test_interrupted_it_leaves_nothing(pal: Pal) -> None:
    palace = pal.root / "big"
    palace.mkdir()
    (palace / "big.bin").write_bytes(Random(1).randbytes(20_000_000))
    pal("snapshot", palace)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        target = pal.root / "there"
        run = pal.start("export", "big", target / "out.zst", "--level", "19")
        while not target.exists() and run.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)
        run.send_signal(number)
        run.communicate()
        assert run.returncode == (-9 if number == signal.SIGKILL else 130)
        assert os.listdir(target) == []
        target.rmdir()


def test_the_names_of_odd_files(own: Pal) -> None:
    odd = os.fsencode(own.root) + b"/odd\xff\nbundle"
    done = own("export", "alpha", odd)
    assert "odd\\xff\\nbundle" in done.err
    check_sums(own.root, os.fsdecode(odd + b".sha256"))
    assert Path(os.fsdecode(odd)).exists()
