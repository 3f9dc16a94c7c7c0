"""Encrypted bundles on the command line: who opens them, and what is claimed without the key."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.bundle.crypting import age, age_key, age_passphrase, ssh_key
from tests.cli.conftest import Done, Pal, make_palace
from tests.support import flip

from palatine.testing.builders import differences, state_of


@pytest.fixture
def pal(tmp_path: Path) -> Pal:
    """`pal` with a repository that has one snapshot, of `alpha`."""
    pal = Pal(tmp_path)
    pal("init")
    pal("snapshot", make_palace(tmp_path / "alpha"))
    return pal


@pytest.fixture
def recipient(tmp_path: Path) -> str:
    age_key(tmp_path / "wrong")
    return age_key(tmp_path / "key")


def not_verified(done: Done) -> None:
    """Assert that nobody could take what was said for a word of praise."""
    said = (done.out + done.err).lower()
    assert "not verified" in said
    for word in ("whole", " ok", "no damage", "sound"):
        assert word not in said, said


def test_for_a_recipient(pal: Pal, tmp_path: Path, recipient: str) -> None:
    file = tmp_path / "alpha.tar.zst.age"
    pal("export", "alpha", file, "--encrypt", recipient)
    # Tools that know nothing of palatine get at it.
    plain = tmp_path / "plain"
    plain.mkdir()
    archive = age("-d", "-i", tmp_path / "key", data=file.read_bytes())
    subprocess.run(["tar", "--zstd", "-xpf", "-"], input=archive, cwd=plain, check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=plain, check=True)
    assert differences(state_of(tmp_path / "alpha"), state_of(plain / "palace")) == []
    # The hash beside it is that of the encrypted file: anybody can check that.
    subprocess.run(["sha256sum", "--quiet", "-c", f"{file}.sha256"], cwd=tmp_path, check=True)
    assert "whole" in pal("verify", file, "--identity", tmp_path / "key").out
    pal("restore", file, tmp_path / "copy", "--identity", tmp_path / "key")
    assert differences(state_of(tmp_path / "alpha"), state_of(tmp_path / "copy")) == []
    other = {"PALATINE_REPO": str(tmp_path / "other")}
    pal("init", env=other)
    pal("import", file, "--identity", tmp_path / "wrong", "--identity", tmp_path / "key", env=other)
    assert pal("log", "--json", env=other).result["snapshots"]


def test_without_the_key_nothing_is_claimed(pal: Pal, tmp_path: Path, recipient: str) -> None:
    file = tmp_path / "alpha.tar.zst.age"
    pal("export", "alpha", file, "--encrypt", recipient)
    not_verified(pal("verify", file, code=3))
    not_verified(pal("verify", file, "--identity", tmp_path / "wrong", code=3))
    (tmp_path / "phrase").write_text("correct horse\n")
    not_verified(pal("verify", file, "--passphrase-file", tmp_path / "phrase", code=3))
    done = pal("verify", file, "--json", code=3)
    assert done.result["ok"] is False
    assert done.result["encrypted"] is True
    assert done.result["checked"] == [f"the file has the hash in {file.name}.sha256"]
    for command in (("import", file), ("restore", file, tmp_path / "never")):
        done = pal(*command, "--json", code=2)
        assert done.error["code"] == "no-key"
        assert "--identity" in done.error["hint"]
        done = pal(*command, "--identity", tmp_path / "wrong", code=2)
        assert "none of the keys opens it" in done.err
    assert not (tmp_path / "never").exists()


def test_damage_behind_encryption(pal: Pal, tmp_path: Path, recipient: str) -> None:
    file = tmp_path / "alpha.tar.zst.age"
    pal("export", "alpha", file, "--encrypt", recipient)
    Path(f"{file}.sha256").unlink()
    whole = file.read_bytes()
    flip(file, len(whole) - 3)
    assert "damaged" in pal("verify", file, "--identity", tmp_path / "key", code=4).out
    file.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in pal("verify", file, "--identity", tmp_path / "key", code=4).out
    pal("import", file, "--identity", tmp_path / "key", code=4)
    pal("restore", file, tmp_path / "never", "--identity", tmp_path / "key", code=4)
    assert not (tmp_path / "never").exists()
    file.write_bytes(whole)
    pal("verify", file, "--identity", tmp_path / "key")


def test_for_a_team(pal: Pal, tmp_path: Path, recipient: str) -> None:
    (tmp_path / "team").write_text(f"# all of us\n{recipient}\n{ssh_key(tmp_path / 'ssh')}\n")
    file = tmp_path / "alpha.age"
    pal("export", "alpha", file, "--encrypt", tmp_path / "team", "--encrypt", f"age:{recipient}")
    for key in ("key", "ssh"):
        pal("verify", file, "--identity", tmp_path / key)


def test_with_a_passphrase(pal: Pal, tmp_path: Path) -> None:
    (tmp_path / "phrase").write_text("correct horse\n")
    (tmp_path / "another").write_text("correct house\n")
    file = tmp_path / "alpha.age"
    pal("export", "alpha", file, "--passphrase-file", tmp_path / "phrase")
    pal("verify", file, "--passphrase-file", tmp_path / "phrase")
    pal("verify", file, "--passphrase-file", "-", input=b"correct horse\n")
    not_verified(pal("verify", file, "--passphrase-file", tmp_path / "another", code=3))
    pal("import", file, "--passphrase-file", tmp_path / "another", code=2)
    age_passphrase("correct horse", "-d", "-o", tmp_path / "plain", file)
    pal("verify", tmp_path / "plain")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--encrypt", "SECRET"),
        ("--encrypt", "key"),
        ("--encrypt", "nobody"),
        ("--encrypt", "age1nobody"),
        ("--encrypt", "RECIPIENT", "--passphrase-file", "phrase"),
        ("--passphrase-file", "key"),
        ("--passphrase-file", "nothing"),
    ],
)
def test_what_cannot_be(
    pal: Pal, tmp_path: Path, recipient: str, arguments: tuple[str, ...]
) -> None:
    """A mistake is told, shows no secret, and above all does not write the file in the clear."""
    (tmp_path / "phrase").write_text("correct horse\n")
    secret = (tmp_path / "key").read_text().split("\n")[2]
    known = {"SECRET": secret, "RECIPIENT": recipient}
    told = pal("export", "alpha", "F.age", *(known.get(one, one) for one in arguments), code=2)
    assert secret not in told.out + told.err
    assert "correct horse" not in told.out + told.err
    assert not (tmp_path / "F.age").exists()
    assert not list(tmp_path.glob("F.age*"))
    told = pal("verify", "wrong", "--identity", secret, code=2)
    assert secret not in told.out + told.err
