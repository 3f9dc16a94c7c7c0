"""Streams of age: whoever is meant can read them, in both directions with the real age."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bundle.crypting import (
    age,
    age_key,
    age_passphrase,
    content,
    decrypted,
    encrypted,
    ssh_key,
)

from palatine.bundle.age.keys import Passphrase, keys_of, lock_of
from palatine.bundle.age.streams import is_age
from palatine.errors import NoKey, UsageError

SIZES = (0, 1, 65_535, 65_536, 65_537, 200_000, 3 << 20)
PASSPHRASE = Passphrase("Grüße aus Wien".encode())


Pair = tuple[str, Path]


@pytest.fixture(scope="module", params=["age", "ed25519", "rsa"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A recipient and the file with its key, of each kind."""
    path = tmp_path_factory.mktemp("keys") / "key"
    return (age_key(path) if request.param == "age" else ssh_key(path, request.param)), path


@pytest.mark.parametrize("size", SIZES)
def test_age_decrypts_ours(pair: Pair, size: int) -> None:
    recipient, key = pair
    assert age("-d", "-i", key, data=encrypted(content(size), lock_of([recipient]))) == content(
        size
    )


@pytest.mark.parametrize("armor", [(), ("-a",)])
@pytest.mark.parametrize("size", SIZES)
def test_we_decrypt_ages(pair: Pair, size: int, armor: tuple[str, ...]) -> None:
    recipient, key = pair
    theirs = age("-r", recipient, *armor, data=content(size))
    assert is_age(theirs[:64])
    assert decrypted(theirs, keys_of([str(key)])) == content(size)


def test_each_of_several_recipients_can_read(tmp_path: Path) -> None:
    kinds = {"a": "age", "b": "age", "c": "ed25519", "d": "rsa"}
    made = {
        name: age_key(tmp_path / name) if kind == "age" else ssh_key(tmp_path / name, kind)
        for name, kind in kinds.items()
    }
    (tmp_path / "team").write_text(
        "\ufeff# the team\r\n\r\n  " + made["b"] + "\r\n" + made["c"] + "\n", encoding="utf-8"
    )
    again = " ".join(made["d"].split()[:2]) + " another comment"
    lock = lock_of(
        ["age:" + made["a"], str(tmp_path / "team"), str(tmp_path / "d.pub"), made["a"], again]
    )
    assert lock is not None
    assert len(lock.recipients) == 4  # those named twice count once
    ours = encrypted(b"secret", lock)
    for name in kinds:
        assert age("-d", "-i", tmp_path / name, data=ours) == b"secret"
        assert decrypted(ours, keys_of([str(tmp_path / name)])) == b"secret"


def test_any_of_several_identities_opens_it(tmp_path: Path) -> None:
    wrong, right = age_key(tmp_path / "wrong"), age_key(tmp_path / "right")
    (tmp_path / "both").write_text(
        (tmp_path / "wrong").read_text() + (tmp_path / "right").read_text()
    )
    ours = encrypted(b"secret", lock_of([right]))
    assert decrypted(ours, keys_of([str(tmp_path / "both")])) == b"secret"
    assert decrypted(ours, keys_of([str(tmp_path / "wrong"), str(tmp_path / "right")])) == b"secret"
    assert wrong != right


def test_the_wrong_key_is_told_from_damage(tmp_path: Path) -> None:
    recipient = age_key(tmp_path / "right")
    age_key(tmp_path / "wrong")
    ours = encrypted(b"secret", lock_of([recipient, ssh_key(tmp_path / "ssh")]))
    with pytest.raises(NoKey, match=r"none of the keys opens it.* X25519, ssh-ed25519$"):
        decrypted(ours, keys_of([str(tmp_path / "wrong")]))
    with pytest.raises(NoKey, match=r"is encrypted for X25519, ssh-ed25519$"):
        decrypted(ours, keys_of([]))
    with pytest.raises(NoKey, match=r"is encrypted for X25519, ssh-ed25519$"):
        decrypted(ours, keys_of([], PASSPHRASE))


@pytest.mark.parametrize("size", SIZES)
def test_a_passphrase_goes_both_ways(tmp_path: Path, size: int) -> None:
    ours = tmp_path / "ours"
    ours.write_bytes(encrypted(content(size), lock_of([], PASSPHRASE)))
    age_passphrase(PASSPHRASE.secret.decode(), "-d", "-o", tmp_path / "plain", ours)
    # age makes no file of nothing.
    assert not size or (tmp_path / "plain").read_bytes() == content(size)
    assert decrypted(ours.read_bytes(), keys_of([], PASSPHRASE)) == content(size)


@pytest.mark.parametrize("armor", [(), ("-a",)])
def test_we_open_what_age_encrypted_with_a_passphrase(
    tmp_path: Path, armor: tuple[str, ...]
) -> None:
    (tmp_path / "plain").write_bytes(content(200_000))
    theirs = tmp_path / "theirs"
    said = PASSPHRASE.secret.decode()
    age_passphrase(said, "-p", *armor, "-o", theirs, tmp_path / "plain", times=2)
    assert decrypted(theirs.read_bytes(), keys_of([], PASSPHRASE)) == content(200_000)
    with pytest.raises(NoKey, match="the passphrase does not open it"):
        decrypted(theirs.read_bytes(), keys_of([], Passphrase(b"another")))
    with pytest.raises(NoKey, match="is encrypted with a passphrase"):
        decrypted(theirs.read_bytes(), keys_of([]))


def test_a_passphrase_stands_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        lock_of([age_key(tmp_path / "key")], PASSPHRASE)
    with pytest.raises(UsageError, match="is empty"):
        Passphrase(b"")
    assert "Wien" not in repr(lock_of([], PASSPHRASE))
