"""Recipients and identities as people give them: what is taken, and what each mistake is told."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from tests.bundle.crypting import age, age_key, decrypted, encrypted, ssh_key

from palatine.bundle.age.keys import keys_of, lock_of
from palatine.errors import UsageError

# Of the age specification's own examples; nobody's key.
SECRET = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"


def refused(*, recipient: str | None = None, identity: str | None = None) -> str:
    """Return how a mistake is told: message and hint."""
    with pytest.raises(UsageError) as caught:
        _ = keys_of([str(identity)]) if recipient is None else lock_of([recipient])
    told = f"{caught.value.message}\n{caught.value.hint}"
    assert "GFPYYSJZ" not in told.upper()
    return told


def test_nothing_asked_for() -> None:
    assert lock_of([]) is None
    assert not keys_of([])


@pytest.mark.parametrize(
    "text",
    [SECRET, SECRET.lower(), f"age:{SECRET}", f" {SECRET}", f"#{SECRET}", "AGE-PLUGIN-X-1GFPYYSJZ"],
)
def test_a_private_key_as_a_recipient(tmp_path: Path, text: str) -> None:
    assert "private key was given as a recipient" in refused(recipient=text)
    assert "a private key on the command line" in refused(identity=text)
    if not text.startswith("#"):
        (tmp_path / "F").write_text(f"# one\n\n{text}\n")
        assert "F: line 3 is a private key, not a recipient" in refused(
            recipient=str(tmp_path / "F")
        )


def test_key_files_as_recipients(tmp_path: Path) -> None:
    age_key(tmp_path / "age")
    ssh_key(tmp_path / "ssh")
    assert "age: line 3 is a private key" in refused(recipient=str(tmp_path / "age"))
    assert "ssh: line 1 is a private key" in refused(recipient=str(tmp_path / "ssh"))
    told = refused(recipient=(tmp_path / "ssh").read_text())
    assert "a private key was given" in told
    assert (tmp_path / "ssh").read_text().split("\n")[1] not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("age1yubikey1qwerty", "not a recipient that can be used"),
        ("age1qqqq", "not a recipient that can be used"),
        ("ssh-ed25519 AAAA", "not a recipient that can be used"),
        ("ssh-rsa", "not a recipient that can be used"),
        ("ssh-dss AAAA", "ssh-ed25519 and ssh-rsa keys only"),
        ("ecdsa-sha2-nistp256 AAAA", "ssh-ed25519 and ssh-rsa keys only"),
        ("sk-ssh-ed25519@openssh.com AAAA", "that lives in a token"),
        ("github:somebody", "https://github.com/NAME.keys"),
        ("somebody", "neither a recipient nor a file"),
        ("", "neither a recipient nor a file"),
        ("a\0b", "neither a recipient nor a file"),
        ("x" * 5000, "neither a recipient nor a file"),
        ("/", "Is a directory"),
    ],
)
def test_what_is_no_recipient(text: str, told: str) -> None:
    assert told in refused(recipient=text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "names no recipient"),
        (b"# nobody\n\n", "names no recipient"),
        (b"# one\nsomebody\n", "line 2: not a recipient"),
        (b"age1qqqq\n", "line 1: not a recipient that can be used"),
        (b"\xff\xfe\x00", "not a text file of keys"),
        (b"x" * (5 << 20), "too large for a file of keys"),
    ],
)
def test_files_that_name_no_recipient(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "F").write_bytes(content)
    assert told in refused(recipient=str(tmp_path / "F"))


def test_as_many_recipients_as_there_may_be(tmp_path: Path) -> None:
    """More are refused, and as many as are not refused make a file that is read."""
    from pyrage import x25519  # type: ignore[import-untyped]

    many = [str(x25519.Identity.generate().to_public()) for _ in range(1700)]
    (tmp_path / "F").write_text("\n".join(many))
    assert "1,700 recipients are more" in refused(recipient=str(tmp_path / "F"))
    many[1499] = age_key(tmp_path / "key")
    (tmp_path / "F").write_text("\n".join(many[:1500]))
    ours = encrypted(b"x", lock_of([str(tmp_path / "F")]))
    assert decrypted(ours, keys_of([str(tmp_path / "key")])) == b"x"


def test_ssh_keys_too_weak_to_use(tmp_path: Path) -> None:
    assert "not a recipient that can be used" in refused(
        recipient=ssh_key(tmp_path / "weak", "rsa", "", "-b", "1024")
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no identity"),
        (b"# created\n# public key: age1\n", "holds no identity"),
        (b"age1qqqq\n", "line 1 is a public key"),
        (b"ssh-ed25519 AAAA\n", "line 1 is a public key"),
        (b"# one\nsomething\n", "line 2: not an identity"),
        (b"AGE-PLUGIN-YUBIKEY-1QQ\n", "line 1: a kind of key that cannot be used"),
        (b"AGE-SECRET-KEY-PQ-1GFPYYSJZ\n", "line 1: a kind of key that cannot be used"),
        (SECRET[:-1].encode(), "line 1: the private key is damaged"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "not an SSH key that can be used"),
        (b"\x00\xff\x00", "not a text file of keys"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "the identity file is itself encrypted"),
        (b"age-encryption.org/v1\n", "the identity file is itself encrypted"),
    ],
)
def test_files_without_an_identity(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "F").write_bytes(content)
    assert told in refused(identity=str(tmp_path / "F"))


def test_no_such_file(tmp_path: Path) -> None:
    assert "No such file" in refused(identity=str(tmp_path / "nothing"))
    assert "File name too long" in refused(identity="x" * 5000)


@pytest.mark.parametrize("form", [(), ("-m", "PEM")])
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_ssh_keys_with_a_passphrase(tmp_path: Path, kind: str, form: tuple[str, ...]) -> None:
    key = tmp_path / "key"
    public = ssh_key(key, kind, "correct horse", *form)
    told = refused(identity=str(key))
    assert "the SSH key is protected by a passphrase" in told
    # What the hint says works.
    subprocess.run(["cp", "-p", key, tmp_path / "KEY"], check=True)
    command = [
        "ssh-keygen",
        "-q",
        "-p",
        "-P",
        "correct horse",
        "-N",
        "",
        "-f",
        str(tmp_path / "KEY"),
    ]
    subprocess.run(command, check=True)
    assert keys_of([str(tmp_path / "KEY")])
    assert lock_of([public])


def test_an_identity_file_that_age_encrypted(tmp_path: Path) -> None:
    age_key(tmp_path / "key")
    other = age_key(tmp_path / "other")
    for armor in ((), ("-a",)):
        data = (tmp_path / "key").read_bytes()
        (tmp_path / "safe").write_bytes(age("-r", other, *armor, data=data))
        told = refused(identity=str(tmp_path / "safe"))
        assert "is itself encrypted" in told
        assert "age -d -o KEY" in told


def test_old_and_new_forms_of_ssh_keys(tmp_path: Path) -> None:
    ssh_key(tmp_path / "pem", "rsa", "", "-m", "PEM")
    ssh_key(tmp_path / "new", "rsa")
    assert len(keys_of([str(tmp_path / "pem"), str(tmp_path / "new")]).identities) == 2
    ssh_key(tmp_path / "ec", "ecdsa")
    assert "not an SSH key that can be used" in refused(identity=str(tmp_path / "ec"))


def test_no_secret_in_what_is_told(tmp_path: Path) -> None:
    body = base64.b64encode(b"GFPYYSJZGFPYYSJZ" * 8).decode()
    (tmp_path / "F").write_text(f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n")
    assert body not in refused(identity=str(tmp_path / "F"))
    (tmp_path / "G").write_text(f"{body}\n")
    assert body not in refused(identity=str(tmp_path / "G"))
    assert body not in refused(recipient=str(tmp_path / "G"))
