"""The JSON contract: one object, exact types, and nothing else on stdout."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ODD_NAME, Pal

ID = re.compile(r"[0-9a-f]{64}\Z")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
NAME = object()
"""Stands for a name: a string, or {"bytes": base64}."""

REFERENCE = {"id": ID, "palace": str, "time": TIME}
SNAPSHOT = {
    **REFERENCE,
    "key": str,
    "wall_time": TIME,
    "host": str,
    "user": str,
    "path": NAME,
    "parents": [ID],
    "message": str,
    "tags": [str],
    "layout": str,
    "program": str,
    "complete": bool,
    "files": int,
    "directories": int,
    "symlinks": int,
    "bytes": int,
    "added_bytes": int,
    "missing": [{"path": NAME, "reason": str}],
    "artifacts": [{"path": NAME, "kind": str, "captured": str, "health": str}],
    "outside": [{"name": str, "place": NAME}],
}
ENTRY = {
    "path": NAME,
    "kind": re.compile("(file|directory|symlink)\\Z"),
    "mode": re.compile("[0-7]{4}\\Z"),
    "bytes": int,
    "mtime": TIME,
    "mtime_ns": int,
    "owner?": {"uid": int, "user": str, "gid": int, "group": str},
    "target?": NAME,
    "link?": NAME,
}
CHANGE = {
    "change": re.compile("(added|removed|changed|renamed|metadata)\\Z"),
    "path": NAME,
    "old_path": (NAME, None),
    "kind": str,
    "old_bytes": (int, None),
    "new_bytes": (int, None),
}
TAKEN = {
    "palace": str,
    "source": NAME,
    "status": str,
    "snapshot": SNAPSHOT,
    "left_out": [str],
    "damaged": [NAME],
    "longest_pin_us": int,
    "error": None,
}
RESTORED = {
    "snapshot": REFERENCE,
    "target": NAME,
    "mode": re.compile("(new|replace|live|merge)\\Z"),
    "dry_run": bool,
    "files": int,
    "directories": int,
    "symlinks": int,
    "bytes": int,
    "removed": int,
    "metadata": int,
    "pre_restore": ({"snapshot": REFERENCE, "fresh": bool, "took_us": int}, None),
    "finished": (str, None),
    "notices": [str],
    "outside?": [{"name": str, "place": NAME, "target": NAME}],
    "renamed?": [{"path": NAME, "key": str, "old": str, "new": str, "rows": (int, None)}],
}
KEEP = {
    **dict.fromkeys(("last", "hourly", "daily", "weekly", "monthly", "yearly"), (int, None)),
    "within_seconds": int,
    "tags": [str],
    "group_by": re.compile("(place|palace)\\Z"),
}
FORGET = {
    "dry_run": bool,
    "forgotten": int,
    "snapshots": [
        {
            "snapshot": REFERENCE,
            "bytes": int,
            "stays": bool,
            "counts": bool,
            "shrunk_from": (REFERENCE, None),
            "reasons": [{"rule": str, "detail": str, "other": (ID, None), "until": (TIME, None)}],
        }
    ],
}
RULES = {
    "rules": [{"palace": (str, None), "zone": (str, None), "command": str, "keep": KEEP}],
}
COPIED = {
    "snapshots": [REFERENCE],
    "failed": [{"id": ID, "reason": str}],
    "tagged": int,
    "damaged": [str],
    "forgotten": int,
    "not_taken": int,
    "objects": int,
    "bytes": int,
}
EXCHANGED = {"remote": str, "dry_run": bool, "pushed": (COPIED, None), "pulled": (COPIED, None)}
HERE = "home/data/palatine/repository"
CONTRACT: dict[tuple[str, ...], Any] = {
    ("palaces",): {
        "palaces": [
            {"palace": str, "tenant": str, "snapshots": int, "newest": SNAPSHOT, "heads": [ID]}
        ]
    },
    ("palaces", "--discover", "."): {
        "discovered": [
            {
                "palace": str,
                "layout": str,
                "source": NAME,
                "outside": [{"name": str, "place": NAME}],
            }
        ]
    },
    ("log",): {"snapshots": [SNAPSHOT]},
    ("log", "--forgotten"): {"snapshots": [SNAPSHOT]},
    ("show", "alpha"): {"snapshot": SNAPSHOT, "derived": [NAME]},
    ("show", "alpha", "--counts"): {"snapshot": SNAPSHOT, "derived": [NAME], "counts": {}},
    ("ls", "-r", "alpha"): {"snapshot": REFERENCE, "path": NAME, "entries": [ENTRY]},
    ("cat", "alpha:notes/a.md"): {"snapshot": REFERENCE, "path": NAME, "content": NAME},
    ("find", "*"): {"pattern": str, "found": [{"snapshot": REFERENCE, **ENTRY}]},
    ("diff", "alpha", "--metadata"): {
        "old": REFERENCE,
        "new": REFERENCE,
        "summary": dict.fromkeys(
            "added removed changed renamed metadata old_bytes new_bytes".split(), int
        ),
        "changes": [CHANGE],
    },
    ("restore", "alpha", "nowhere", "--dry-run"): {
        **RESTORED,
        "actions": [{"path": NAME, "kind": str, "deed": str, "bytes": int}],
    },
    ("verify", "--data"): {
        "checked": str,
        "ok": bool,
        "snapshots": int,
        "packs": int,
        "packs_read": int,
        "objects": int,
        "bytes_read": int,
        "damage": [str],
        "hits": [{"snapshot": REFERENCE, "paths": [NAME]}],
        "unchecked": [str],
        "warnings": [str],
    },
    ("tag",): {"tags": [{"tag": str, "snapshot": REFERENCE}]},
    ("forget", "--keep-daily", "7", "--dry-run"): FORGET,
    ("policy",): RULES,
    ("policy", "suggest"): {
        "command": str,
        "keep": KEEP,
        "effect": [{"palace": str, "snapshots": int, "would_stay": int}],
    },
    ("stats",): {
        "id": str,
        "location": NAME,
        "hash": str,
        "palaces": int,
        "snapshots": int,
        "packs": int,
        "stored_bytes": int,
        "index_bytes": int,
        "logical_bytes": int,
        "objects": [{"frame": str, "kind": str, "count": int, "bytes": int}],
    },
    ("remote",): {"remotes": [{"name": str, "url": str, "id": (str, None)}]},
    ("help", "revisions"): {"text": str},
}
EXPORTED = {
    "snapshot": REFERENCE,
    "format": str,
    "file": NAME,
    "files": int,
    "content_bytes": int,
    "bytes": (int, None),
    "sha256": (ID, None),
    "encrypted": bool,
    "complete": bool,
    "redaction": None,
}
REDACTED = {
    "dry_run": bool,
    "complete": bool,
    "matches": int,
    "rules": [str],
    "artifacts": [{"path": str, "rules": dict}],
    "left_out": [{"path": str, "reason": str}],
    "notes": [{"path": str, "reason": str}],
    "unprocessed": [{"path": str, "reason": str}],
    "history": [{"path": str, "verdict": str, "matches": int, "detail": str}],
}
CHANGING: dict[tuple[str, ...], Any] = {
    ("init", "elsewhere"): {"location": NAME, "id": str, "hash": str},
    ("snapshot", "alpha", "--palace", "beta"): {
        "repository": NAME,
        "made_repository": bool,
        "palaces": [TAKEN],
    },
    ("watch", "alpha/notes", "--once"): {
        "repository": NAME,
        "made_repository": bool,
        "palaces": [TAKEN],
    },
    ("restore", "alpha", "somewhere"): RESTORED,
    ("restore", "alpha~", "empty-place", "--replace"): RESTORED,
    ("export", "alpha", "bundle.tar.zst"): EXPORTED,
    ("export", "--all", "bundles"): {
        "exports": [{"palace": str, "export": EXPORTED, "error": None}]
    },
    ("import", "kept.tar.zst"): {
        "snapshot": REFERENCE,
        "file": NAME,
        "format": str,
        "fresh": bool,
        "exported_as": (ID, None),
        "same": bool,
        "added_bytes": int,
        "complete": bool,
        "redacted": bool,
        "notes": [str],
        "unverified": [str],
    },
    ("verify", "kept.tar.zst"): {
        "file": NAME,
        "ok": bool,
        "format": (str, None),
        "encrypted": bool,
        "redacted": bool,
        "palace": (str, None),
        "snapshot": (ID, None),
        "time": (TIME, None),
        "files": int,
        "bytes": int,
        "checked": [str],
        "unchecked": [str],
        "damage": [str],
        "notes": [str],
    },
    ("tag", "alpha", "another"): {"snapshot": SNAPSHOT},
    ("tag", "-d", "alpha~", "keep"): {"snapshot": SNAPSHOT},
    ("forget", "alpha"): FORGET,
    ("policy", "set", "--keep-last", "all", "--keep-within", "30d"): RULES,
    ("policy", "unset"): RULES,
    ("gc",): {
        "dry_run": bool,
        "policy": (FORGET,),
        "snapshots": int,
        "objects": int,
        "packs": int,
        "bytes": int,
        "packs_to_remove": int,
        "packs_to_rewrite": int,
        "packs_left_condemned": int,
        "bytes_to_free": int,
        "bytes_to_write": int,
        "bytes_unused": int,
        "forgotten_to_collect": int,
        "max_unused": float,
        "erase": bool,
        "done": {
            "packs_removed": int,
            "bytes_deleted": int,
            "bytes_written": int,
            "bytes_freed": int,
            "objects_copied": int,
            "objects_stored_anew": int,
            "forgotten_collected": int,
            "fenced": [str],
        },
    },
    ("repair",): {
        "dry_run": bool,
        "ok": bool,
        "damage": [str],
        "mended": [str],
        "lost_files": [str],
        "lost": [
            {
                "snapshot": REFERENCE,
                "replacement": (REFERENCE, None),
                "missing": [{"path": NAME, "reason": str}],
            }
        ],
        "brought_back": [REFERENCE],
        "waiting": [REFERENCE],
        "objects_found": int,
        "objects_moved": int,
        "set_aside": [str],
    },
    ("remote", "add", "far", HERE): {"remotes": [{"name": str, "url": str, "id": (str, None)}]},
    ("push", HERE, "--dry-run"): EXCHANGED,
    ("pull", HERE): EXCHANGED,
    ("sync", HERE): EXCHANGED,
    ("clone", HERE, "cloned"): EXCHANGED,
    ("reindex",): {"packs": int, "damaged": [str], "kept": int, "segments_replaced": int},
}


def check(value: Any, schema: Any, where: str = "result") -> None:
    """Assert that a value has exactly the shape of a schema."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        required = {key for key in schema if not key.endswith("?")}
        assert required <= value.keys() <= {key.removesuffix("?") for key in schema}, where
        for key, inner in value.items():
            check(inner, schema.get(key, schema.get(key + "?")), f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for at, inner in enumerate(value):
            check(inner, schema[0], f"{where}[{at}]")
    elif isinstance(schema, tuple):
        if value is not None:
            check(value, schema[0], where)
    elif schema is NAME:
        if not isinstance(value, str):
            assert list(value) == ["bytes"], where
            base64.b64decode(value["bytes"], validate=True)
    elif isinstance(schema, re.Pattern):
        assert schema.match(value), where
    elif schema is None:
        assert value is None, where
    else:
        assert type(value) is schema, where


@pytest.mark.parametrize("arguments", CONTRACT, ids=" ".join)
def test_reading_commands(kept: Pal, arguments: tuple[str, ...]) -> None:
    done = kept(*arguments, "--json")
    assert list(done.object) == ["palatine", "command", "result"]
    assert done.object["palatine"] == 1
    assert done.object["command"] == arguments[0]
    check(done.result, CONTRACT[arguments])
    assert done.err == ""


@pytest.mark.parametrize("arguments", CHANGING, ids=" ".join)
def test_changing_commands(own: Pal, arguments: tuple[str, ...]) -> None:
    if "kept.tar.zst" in arguments:
        own("export", "alpha", "kept.tar.zst")
    done = own("--json", *arguments)
    assert list(done.object) == ["palatine", "command", "result"]
    assert done.object["command"] == arguments[0]
    check(done.result, CHANGING[arguments])
    assert done.err == ""


def test_restoring_over_a_palace(own: Pal) -> None:
    """What only a restore over something has to tell."""
    target = own.root / "alpha"
    own("snapshot", target, "--palace", "alpha-here")
    for words in (["alpha~", str(target), "--replace"], ["--undo", str(target)]):
        result = own("restore", *words, "--json").result
        check(result, RESTORED)
        assert result["pre_restore"]["snapshot"]["palace"] == "alpha-here"
    plan = own("restore", "alpha~", target, "--replace", "--dry-run", "--json").result
    assert {one["deed"] for one in plan["actions"]} == {"write", "add", "remove"}


def test_every_command_has_a_contract() -> None:
    from palatine.cli.runner import COMMANDS

    # serve speaks to another host on stdout
    told = {arguments[0] for arguments in [*CONTRACT, *CHANGING]}
    assert told == {*COMMANDS} - {"serve"}


def test_values_are_those_of_the_palace(kept: Pal) -> None:
    second, first = kept("log", "--json").result["snapshots"]
    assert second["parents"] == [first["id"]]
    assert (first["message"], first["tags"]) == ("the first", ["keep"])
    assert (first["files"], first["directories"], first["symlinks"]) == (3, 2, 1)
    assert first["bytes"] == 300_000 + len("first\n") + len("odd")
    assert 300_000 < first["added_bytes"] < 310_000
    assert second["added_bytes"] < 5_000
    assert first["time"] < second["time"]
    assert first["path"] == str(kept.root / "alpha")


def test_names_that_are_not_utf8(kept: Pal) -> None:
    entries = kept("ls", "alpha", "--json").result["entries"]
    odd = [one["path"] for one in entries if isinstance(one["path"], dict)]
    assert [base64.b64decode(one["bytes"]) for one in odd] == [ODD_NAME]


def test_content_is_base64(kept: Pal) -> None:
    shape = kept("cat", "alpha:large.bin", "--json").result["content"]
    assert base64.b64decode(shape["bytes"]) == (kept.root / "alpha" / "large.bin").read_bytes()


def test_diff_against_nothing_has_no_old_end(kept: Pal) -> None:
    result = kept("diff", "alpha~", "--json").result
    assert result["old"] is None
    assert {one["change"] for one in result["changes"]} == {"added"}


def test_diff_against_a_directory_names_it(kept: Pal) -> None:
    result = kept("diff", "alpha", "./alpha", "--json").result
    assert Path(result["new"]["directory"]).name == "alpha"
    assert result["changes"] == []


def test_lines_carry_events_and_then_the_result(own: Pal) -> None:
    lines = [json.loads(line) for line in own("verify", "--data", "--json-lines").out.splitlines()]
    assert [one.get("event") for one in (lines[0], lines[-2], lines[-1])] == ["begin", "end", None]
    assert all(one["palatine"] == 1 and one["command"] == "verify" for one in lines)
    assert lines[0]["total"] == lines[-2]["done"] == lines[-1]["result"]["bytes_read"]
    check(lines[-1]["result"], CONTRACT["verify", "--data"])


def test_notices_come_with_the_result(own: Pal) -> None:
    done = own("diff", "alpha", "alpha", "--json")
    assert done.object["notices"] == ["alpha is taken as a revision; ./alpha would be the path"]
    assert done.err == ""


def test_errors_are_objects_on_stderr(kept: Pal) -> None:
    done = kept("show", "nothing-like-it", "--json", code=2)
    assert done.out == ""
    check(done.error, {"code": str, "message": str, "hint": str})
    assert done.error["code"] == "unknown-revision"


def test_a_usage_error_before_json_is_an_object_too(kept: Pal) -> None:
    assert kept("log", "-n", "x", "--json", code=2).error["code"] == "usage"
    assert kept("no-such-command", "--json", code=2).error["code"] == "usage"


def test_several_palaces_tell_each_one(own: Pal) -> None:
    done = own("snapshot", "alpha", "not-there", "--palace", "x", "--json", code=2)
    assert done.error["code"] == "usage"
    (own.root / "beta").mkdir()
    done = own("snapshot", "beta", "not-there", "--json", code=3)
    assert [one["status"] for one in done.result["palaces"]] == ["created", "failed"]
    assert done.result["palaces"][1]["error"]["code"] == "path-not-found"
    assert done.error["code"] == "incomplete"
