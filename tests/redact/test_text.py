"""Text in every encoding and size, and JSON in its own style."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections import Counter
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.redact.planted import KINDS, secret

from palatine.redact import textfile
from palatine.redact.scrub import Scrubber
from palatine.redact.textfile import encoding_of, scrub_file

KEY = secret(Random(3), "openai-api-key")
OTHER = secret(Random(4), "openai-api-key")
GONE = "[REDACTED:openai-api-key]"


@cache
def scrubber() -> Scrubber:
    return Scrubber()


def scrub(data: bytes) -> bytes:
    encoding = encoding_of(data)
    assert encoding is not None
    tally: Counter[str] = Counter()
    once = b"".join(scrub_file(scrubber(), io.BytesIO(data), len(data), encoding, tally))
    again: Counter[str] = Counter()
    twice = b"".join(scrub_file(scrubber(), io.BytesIO(once), len(once), encoding, again))
    assert (twice, again) == (once, Counter())
    return once


def test_json_of_python_is_json() -> None:
    text = f'{{"a": NaN, "password": "x\\"yz", "b": "{KEY}\\ud83d"}}'
    expected = text.replace(KEY, GONE).replace('x\\"yz', "[REDACTED:secret-keyword]")
    assert scrub(text.encode()).decode() == expected


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", ""), ("utf-16-le", ""), ("utf-16-be", ""), ("utf-8", "\ufeff"),
     ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"), ("utf-32-le", "\ufeff")],
)  # fmt: skip
def test_encodings(encoding: str, mark: str) -> None:
    text = f"{mark}one {KEY} two\r\nthree\n"
    assert scrub(text.encode(encoding)) == text.replace(KEY, GONE).encode(encoding)


def test_bytes_that_are_no_utf8_go_through() -> None:
    assert (
        scrub(b"caf\xe9 \xff " + KEY.encode() + b"\r") == b"caf\xe9 \xff " + GONE.encode() + b"\r"
    )


def test_json_keeps_its_style_and_its_escapes_are_read() -> None:
    escaped = KEY.replace("sk-", "\\u0073\\u006b\\u002d")
    text = f'{{ "a" : "\\u00e9 {escaped}",\n\t"b":[1.50, "é\\/", null ],"n":"\\ud83d" }}\n'
    assert scrub(text.encode()) == text.replace(escaped, GONE).encode()


def test_json_keys_that_are_secrets_stay_apart() -> None:
    value = {KEY: 1, OTHER: 2, "in": {KEY: 3, "[REDACTED:openai-api-key]-3": 4}}
    text = scrub(json.dumps(value).encode()).decode()
    assert json.loads(text) == {
        GONE: 1, f"{GONE}-2": 2, "in": {GONE: 3, "[REDACTED:openai-api-key]-3": 4}
    }  # fmt: skip


def test_json_goes_by_keys_until_the_object_ends() -> None:
    value = [{"api_key": "a b c", "n": {"password": ["x1y2", 5]}}, "plain", {"password": ""}]
    gone = "[REDACTED:secret-keyword]"
    expected = [{"api_key": gone, "n": {"password": [gone, 5]}}, "plain", {"password": ""}]
    assert json.loads(scrub(json.dumps(value).encode())) == expected


def test_json_in_json_in_json_stays_json() -> None:
    inner = json.dumps({"password": 'quo"te', "k": KEY})
    text = scrub(json.dumps({"a": json.dumps([inner])}).encode())
    found = json.loads(json.loads(json.loads(text)["a"])[0])
    assert found == {"password": "[REDACTED:secret-keyword]", "k": GONE}


def test_json_lines_and_what_reaches_across_lines() -> None:
    block = "-----BEGIN " + "PRIVATE KEY-----\nAAAA\n-----END " + "PRIVATE KEY-----"
    lines = [json.dumps({"password": 'a"b', "u": "\u2028"}, ensure_ascii=False), "broken {", block]
    text = "\n".join([*lines, json.dumps({"k": KEY})]) + "\n"
    found = scrub(text.encode()).decode().split("\n")
    assert json.loads(found[0]) == {"password": "[REDACTED:secret-keyword]", "u": "\u2028"}
    assert found[1:] == ["broken {", "[REDACTED:private-key]", json.dumps({"k": GONE}), ""]


@given(
    seed=st.integers(0, 2**32), pads=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    lines=st.booleans(), encoding=st.sampled_from(["utf-8", "utf-16-le"]),
)  # fmt: skip
def test_secrets_across_windows(seed: int, pads: list[int], lines: bool, encoding: str) -> None:
    rng, planted, text = Random(seed), [], "\ufeff"
    for pad in pads:
        text += "".join(rng.choices("ab é\n" if lines else "ab é", k=pad)) + " "
        kind = rng.choice(sorted(KINDS))
        planted.append((kind, secret(rng, kind)))
        text += planted[-1][1] + " "
    expected = text
    for kind, one in planted:
        expected = expected.replace(one, f"[REDACTED:{kind}]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textfile, "WINDOW", 500)
        patch.setattr(textfile, "MATCH_MAX", 100)
        patch.setattr(textfile, "WHOLE_MAX", 40)
        patch.setattr(textfile, "_BLOCK", 70)
        assert scrub(text.encode(encoding)) == expected.encode(encoding)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.sampled_from([KEY, OTHER, f"x {KEY}\n\"{OTHER}\\"]),
    lambda inner: st.lists(inner)
    | st.dictionaries(st.text() | st.sampled_from([KEY, OTHER]), inner),
    max_leaves=12,
)  # fmt: skip


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return [_shape(one) for one in value.values()]
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return "text" if isinstance(value, str) else value


@given(st.dictionaries(st.text(), _VALUES), st.booleans(), st.sampled_from([None, 1]))
def test_any_json_stays_json_of_the_same_shape(
    value: dict[str, object], ascii: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    data = scrub(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
    assert KEY not in data
    assert OTHER not in data
    assert _shape(json.loads(data)) == _shape(value)


class _Endless(io.RawIOBase):
    """A file of many short lines that is on no disk."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        size = min(len(buffer), self._left)
        buffer[:size] = (b"some words and a line\n" * (size // 22 + 1))[:size]
        self._left -= size
        return size


def test_a_large_text_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "WINDOW", 512 << 10)
    monkeypatch.setattr(textfile, "_BLOCK", 128 << 10)
    size = 8 << 20
    text = io.TextIOWrapper(io.BufferedReader(_Endless(size)), "utf-8", newline="")
    tracemalloc.start()
    with text:
        length = sum(map(len, textfile._windows(scrubber(), text.read, Counter())))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == size
    assert peak < 4 << 20
