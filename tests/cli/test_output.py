"""The output's corners: long results piece by piece, and readers that have gone."""

from __future__ import annotations

import base64
import io
import itertools
import json
from typing import Any

import pytest

from palatine.cli import failures
from palatine.cli.commands.cat import _base64
from palatine.cli.output import Mode, Output
from palatine.errors import Damaged, Locked, Malformed, NoSpace, SourceError


@pytest.fixture
def json_output() -> Output:
    found = Output(Mode.JSON, quiet=False, verbose=False, plain=True)
    found.command = "test"
    return found


def run(output: Output, monkeypatch: pytest.MonkeyPatch, *calls: Any) -> str:
    """Return what some calls write to stdout."""
    written = io.StringIO()
    monkeypatch.setattr(output, "_stdout", written)
    for call in calls:
        call()
    return written.getvalue()


@pytest.mark.parametrize("sizes", [[], [0], [1], [3], [1, 1, 1, 1], [2, 5, 0, 7, 3], [4000, 1]])
def test_base64_in_pieces(sizes: list[int]) -> None:
    data = bytes(range(256)) * 20
    ends = list(itertools.accumulate(sizes, initial=0))
    pieces = [data[start:end] for start, end in itertools.pairwise(ends)]
    assert base64.b64decode("".join(_base64(pieces)), validate=True) == data[: ends[-1]]


@pytest.mark.parametrize("items", [[], [1], [{"a": "[]"}, '""']])
def test_a_streamed_list_is_one_object(
    json_output: Output, monkeypatch: pytest.MonkeyPatch, items: list[object]
) -> None:
    head = {"empty": [], "text": "", "odd": '[]""'}
    text = run(json_output, monkeypatch, lambda: json_output.stream("items", items, head))
    assert json.loads(text) == {
        "palatine": 1, "command": "test", "result": {**head, "items": items},
    }  # fmt: skip
    assert text.endswith("}\n")


def test_a_streamed_text_and_its_notices(
    json_output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    json_output.notice("mind\x1b")
    text = run(
        json_output, monkeypatch,
        lambda: json_output.stream_text("content", ["YQ", "=="], {"path": "[]"}),
    )  # fmt: skip
    assert json.loads(text) == {
        "palatine": 1,
        "command": "test",
        "result": {"path": "[]", "content": {"bytes": "YQ=="}},
        "notices": [r"mind\x1b"],
    }


def test_nobody_reads_on_for_a_reader_that_has_gone(json_output: Output) -> None:
    json_output.closed = True
    json_output.stream("items", itertools.count(), {})
    json_output.raw(b"x" for _ in itertools.count())
    assert list(json_output.while_open(itertools.count())) == []


def test_a_notice_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Mode.PEOPLE, quiet=True, verbose=False, plain=True)
    output.notice("twice")
    output.notice("twice")
    output.say("not with quiet")
    assert capsys.readouterr().err == "pal: note: twice\n"


def test_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Mode.PEOPLE, quiet=False, verbose=False, plain=True)
    output.table(("A", "EMPTY", "N", "LAST"), [("a", "", "5", "x"), ("日本", "", "12", "")], "N")
    assert capsys.readouterr().out == "A      N  LAST\na      5  x\n日本  12\n"
    output.table(("A",), [])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Damaged("x"), 4), (Malformed("x"), 4), (Locked("x"), 11), (NoSpace("x"), 1),
        (SourceError("x"), 1), (failures.Incomplete("x"), 3), (KeyboardInterrupt(), 130),
        (OSError(5, "broken", "/disk"), 1), (KeyError("x"), 1),
        (failures.Reported(Damaged("x")), 4), (failures.Reported(Damaged("x"), 3), 3),
    ],
    ids=repr,
)  # fmt: skip
def test_families(error: BaseException, code: int) -> None:
    assert failures.describe(error).exit_code == code


def test_the_worst_of_several() -> None:
    assert failures.worst([0, 2, 3, 4, 1]) == 4
    assert failures.worst([2, 5]) == 5
    assert failures.worst([11, 5, 2]) == 11
    assert failures.worst([]) == 0
