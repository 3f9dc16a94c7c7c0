"""export by way of encryption, redaction and other tools' formats; each read by somebody else."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from random import Random
from typing import Any

import pytest
from tests.bundle.archives import check_sums, exported, manifest, unpacked
from tests.bundle.crypting import age, age_key
from tests.support import Place, damage_frames

from palatine.bundle.age.keys import Passphrase, lock_of
from palatine.bundle.limits import Limits
from palatine.errors import Damaged, Exists, Refused, UsageError
from palatine.ids import Kind
from palatine.ops.export import Exported, Request
from palatine.ops.intake import Request as Import
from palatine.redact.tree import Options as Redact
from palatine.testing.builders import differences, state_of
from palatine.testing.families import FAMILIES

SECRET = "sk-ant-" + "a1B2" * 12
GITHUB = "ghp_" + "Zz09" * 9


def asked(place: Place, name: str = "out", **how: object) -> Exported:
    """Export the newest snapshot as a request says."""
    request = Request(place.root / name, **how)  # type: ignore[arg-type]
    with place.open() as repository:
        return repository.export("palace", request)


def leftovers(place: Place) -> list[str]:
    """Return what is left in the cache of copies."""
    bundles = place.cache / "bundles"
    return sorted(os.listdir(bundles)) if bundles.exists() else []


def secretive(place: Place) -> None:
    """Keep a palace with secrets: in a note, in its history, and in the snapshot's message."""
    palace = place.palace
    (palace / "note.md").write_text(f"the key is {SECRET}\n")
    (palace / "plain.md").write_text("nothing to see\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-C", str(palace)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", f"with {GITHUB}"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    place.snapshot(message=f"before {SECRET}", tags=["keep"])


def test_encrypted_for_age(place: Place) -> None:
    (place.palace / "big").write_bytes(Random(1).randbytes(3_000_000))
    place.snapshot()
    keys = place.root / "keys"
    recipient = age_key(keys)
    done = asked(place, "out.tar.zst.age", lock=lock_of([recipient]))
    assert done.encrypted
    check_sums(place.root, "out.tar.zst.age.sha256")
    plain = place.root / "plain.tar.zst"
    plain.write_bytes(age("-d", "-i", keys, data=done.file.read_bytes()))
    assert plain.read_bytes() == exported(place).file.read_bytes()
    out = unpacked(plain, place.root / "out")
    assert differences(state_of(place.palace), state_of(out / "palace")) == []


def test_a_passphrase(place: Place) -> None:
    (place.palace / "a").write_text("a")
    place.snapshot()
    done = asked(place, lock=lock_of([], Passphrase(b"correct horse")))
    assert done.file.read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")


def test_damage_leaves_no_encrypted_file(place: Place) -> None:
    (place.palace / "big").write_bytes(Random(1).randbytes(9_000_000))
    place.snapshot()
    damage_frames(place, Kind.CHUNK)
    with pytest.raises(Damaged):
        asked(place, "new/out", lock=lock_of([age_key(place.root / "keys")]))
    assert os.listdir(place.root / "new") == []


def test_named_like_an_encrypted_file_it_must_be_one(place: Place) -> None:
    (place.palace / "a").write_text("a")
    place.snapshot()
    with pytest.raises(UsageError, match="nothing says for whom"):
        asked(place, "out.age")
    assert not (place.root / "out.age").exists()


def test_a_redacted_bundle_holds_no_secret(place: Place) -> None:
    secretive(place)
    done = asked(place, "out.tar.zst", redact=Redact())
    out = unpacked(done.file, place.root / "out")
    for path in (one for one in out.rglob("*") if one.is_file()):
        assert SECRET.encode() not in path.read_bytes()
    objects = ["git", "-C", str(out / "palace"), "log", "--all", "--format=%B"]
    said = subprocess.run(objects, check=True, capture_output=True, text=True).stdout
    assert GITHUB not in said
    assert (out / "palace" / "note.md").read_text() == "the key is [REDACTED:anthropic-api-key]\n"
    assert (out / "palace" / "plain.md").read_text() == "nothing to see\n"
    told = manifest(out)
    assert told["redacted"]["complete"]
    assert told["redacted"]["matches"] == 1
    head = told["snapshot"]
    assert (head["message"], head["host"]) == ("before [REDACTED:anthropic-api-key]", "")
    assert (head["parents"], head["tags"]) == ([], ["keep", "redacted"])
    assert head["time_us"] == done.stored.snapshot.time_us - 1
    assert done.redaction is not None
    assert done.redaction.artifacts == {"palace/note.md": {"anthropic-api-key": 1}}
    assert leftovers(place) == []
    again = asked(place, "again.tar.zst", redact=Redact())
    assert again.sha256 == done.sha256


def test_history_that_is_kept_with_a_secret_is_no_redaction(place: Place) -> None:
    secretive(place)
    done = asked(place, "out.tar.zst", redact=Redact(keep_git_history=True))
    assert done.redaction is not None
    assert not done.redaction.complete
    assert any("does not count as redacted" in one for one in place.notices.said)
    assert manifest(unpacked(done.file, place.root / "out"))["redacted"] is None


def test_a_dry_run_writes_nothing(place: Place) -> None:
    secretive(place)
    before = sorted(place.root.iterdir())
    done = asked(place, redact=Redact(rules=("word=nothing",), dry_run=True))
    assert done.path is None
    assert done.redaction is not None
    assert done.redaction.artifacts["palace/plain.md"] == {"word": 1}
    assert [one for one in sorted(place.root.iterdir()) if one not in before] == []
    assert leftovers(place) == []


def test_what_cannot_be_redacted_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from palatine.ops import export_copy
    from palatine.redact.report import LeftOut, Report

    secretive(place)
    report = Report(unprocessed=[LeftOut("palace/x", "cannot be read")])
    monkeypatch.setattr(export_copy, "redact_tree", lambda *arguments: report)
    with pytest.raises(Refused, match="palace/x, which cannot be read"):
        asked(place, redact=Redact())
    assert not (place.root / "out").exists()
    assert leftovers(place) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_but_secrets_is_changed(place: Place, family: str) -> None:
    made = FAMILIES[family](place.root / "data", Random(1))
    with place.open() as repository:
        stored = repository.snapshot(made.palace, palace="palace").stored
        repository.restore("palace", place.root / "target")
    done = asked(place, "out.tar.zst", redact=Redact(keep_git_history=True))
    out = unpacked(done.file, place.root / "out")
    told = {str(one["path"]) for one in manifest(out)["entries"]}
    left = {one.path for one in done.redaction.left_out} if done.redaction else set()
    with place.open() as repository:
        listed = {
            ("outside/" + path[1:] if path.startswith("@") else "palace/" + path)
            for path in (os.fsdecode(one.path) for one in repository.ls("palace", recursive=True))
        }
    assert listed - left <= told | left
    if done.redaction and not done.redaction.matches and not done.redaction.notes:
        restored = state_of(place.root / "target")
        names = {one.removeprefix("palace/").encode() for one in left}
        kept = {path: one for path, one in restored.items() if path not in names}
        actual = state_of(out / "palace")
        said = [
            one for one in differences(kept, actual) if ".db" not in one and "sqlite" not in one
        ]
        assert [one for one in said if "mtime" not in one] == []
    assert stored.snapshot.layout == manifest(out)["snapshot"]["layout"]


def test_as_the_file_of_another_tool(place: Place) -> None:
    made = FAMILIES["trusty-sqlite"](place.root / "data", Random(1))
    with place.open() as repository:
        repository.snapshot(made.palace, palace="palace")
    done = asked(place, "out.tar.gz", format="trusty")
    check_sums(place.root, "out.tar.gz.sha256")
    listed = subprocess.run(["tar", "-tzf", done.file], check=True, capture_output=True, text=True)
    assert listed.stdout.splitlines()[-1] == "manifest.json"
    assert done.notices
    with pytest.raises(Exists):
        asked(place, "out.tar.gz", format="trusty")
    assert any("end in .tar.gz" in one for one in asked(place, "out", format="trusty").notices)


def test_as_the_directory_of_another_tool(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    with place.open() as repository:
        repository.snapshot(made.palace, palace="palace")
    place.root.joinpath("all").mkdir()
    done = asked(place, "all", format="oxios")
    assert done.file.parent == place.root / "all"
    assert json.loads((done.file / "manifest.json").read_bytes())["version"] == 1
    assert done.sha256 is None
    assert leftovers(place) == []


def test_a_nexo_bundle_that_is_redacted_and_encrypted(place: Place) -> None:
    secretive(place)
    recipient = age_key(place.root / "keys")
    with place.open() as repository:
        repository.snapshot(place.palace, force=True)
    how = {"format": "nexo", "lock": lock_of([recipient]), "redact": Redact()}
    done = asked(place, "out.tar.zst.age", **how)
    assert (place.root / "out.tar.zst.age.sha256").read_text() == done.sha256
    plain = age("-d", "-i", place.root / "keys", data=done.file.read_bytes())
    tar = subprocess.run(
        ["tar", "--zstd", "-xO", "manifest.json"], input=plain, check=True, capture_output=True
    )
    told = json.loads(tar.stdout)
    assert told["redactions"]["matches_redacted"] == 1
    assert told["encryption"]["recipients_fingerprint"] == [recipient[-8:]]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"format": "zip"}, "no format"),
        ({"format": "oxios"}, "cannot be written as oxios"),
        ({"format": "nexo", "level": 9}, "--level is for native"),
        ({"level": 0}, "no level"),
        ({"target": None}, "not said where"),
    ],
)
def test_requests_that_make_no_sense(place: Place, how: dict[str, object], said: str) -> None:
    (place.palace / "a").write_text("a")
    place.snapshot()
    request = Request(**{"target": place.root / "out", **how})  # type: ignore[arg-type]
    with place.open() as repository, pytest.raises(UsageError, match=said):
        repository.export("palace", request)
    assert not (place.root / "out").exists()


def test_several_files_are_not_encrypted(place: Place) -> None:
    made = FAMILIES["oxios"](place.root / "data", Random(1))
    with place.open() as repository:
        repository.snapshot(made.palace, palace="palace")
    lock = lock_of([age_key(place.root / "keys")])
    with pytest.raises(UsageError, match="none of them encrypted"):
        asked(place, format="oxios", lock=lock)


def test_files_that_nobody_named(place: Place) -> None:
    (place.palace / "a").write_text("a")
    place.snapshot()
    (place.root / "all").mkdir()
    names = [
        asked(place, "all", **how).file.name
        for how in ({}, {"redact": Redact()}, {"lock": lock_of([age_key(place.root / "keys")])})
    ]
    stem = names[0].removesuffix(".tar.zst")
    assert stem.startswith("palace-20")
    assert names[1:] == [f"{stem}-redacted.tar.zst", f"{stem}.tar.zst.age"]


def test_what_an_import_will_refuse_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palatine.bundle.limits.GRACE", 1 << 20)
    (place.palace / "zeros").write_bytes(bytes(3 << 20))
    place.snapshot()
    assert "--max-ratio" in "; ".join(asked(place).notices)
    (place.palace / "zeros").unlink()
    (place.palace / "noise").write_bytes(Random(1).randbytes(3 << 20))
    place.snapshot()
    assert asked(place, "other").notices == ()


@pytest.mark.parametrize("how", [{}, {"redact": Redact()}, {"format": "nexo"}], ids=str)
def test_names_that_some_systems_cannot_tell_are_told(place: Place, how: dict[str, Any]) -> None:
    (place.palace / "d").mkdir()
    for name in ("d/Ä", "d/x", "X", "e"):
        (place.palace / name).write_text(name)
    place.snapshot()
    assert [one for one in asked(place, "plain", **how).notices if "case" in one] == []
    (place.palace / "d" / "a\u0308").write_text("the same to some systems")
    place.snapshot()
    done = asked(place, **how)
    (told,) = [one for one in done.notices if "--allow-case-folding" in one]
    assert told in place.notices.said
    assert "Ä" in told or "a\u0308" in told or "\\xc3\\x84" in told
    file = done.file.rename(done.file.with_name("alone"))
    strict = Import(file, "other", format=str(how.get("format", "native")))
    with place.open() as repository:
        with pytest.raises(Refused, match="case"):
            repository.import_bundle(strict)
        folding = dataclasses.replace(strict, limits=Limits(allow_case_folding=True))
        assert repository.import_bundle(folding).fresh
