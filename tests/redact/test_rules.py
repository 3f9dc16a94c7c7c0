"""What is a secret, and what is none: ids, digests, embeddings, prose, templates."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import uuid
from collections import Counter
from functools import cache
from random import Random

import pytest
from tests.redact.planted import KINDS, secret

from palatine.errors import UsageError
from palatine.redact.jsontext import scrub_any
from palatine.redact.rules import NEXO
from palatine.redact.scrub import Scrubber

_KEY = "BEGIN RSA " + "PRIVATE KEY-----"
_END = "END RSA " + "PRIVATE KEY-----"


@cache
def scrubber(*rules: str) -> Scrubber:
    return Scrubber(rules)


def scrub(text: str, *rules: str) -> tuple[str, dict[str, int]]:
    tally: Counter[str] = Counter()
    once = scrubber(*rules).scrub(text, tally)
    again: Counter[str] = Counter()
    assert scrubber(*rules).scrub(once, again) == once
    assert not again
    return once, dict(tally)


def test_nexo_rules_come_first_and_are_those_of_nexo() -> None:
    assert [one.name for one in NEXO] == [
        "anthropic-api-key", "openai-api-key", "aws-access-key-id", "github-token", "slack-token",
        "bearer-token", "jwt",
    ]  # fmt: skip
    assert scrubber().rules[:7] == NEXO
    assert scrubber("mine=x+y").rules[7].name == "mine"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sk-ant-" + "a" * 40, "[REDACTED:anthropic-api-key]"),
        ("sk-ant-" + "a" * 39, "sk-ant-" + "a" * 39),
        ("sk-" + "a" * 20, "[REDACTED:openai-api-key]"),
        ("AKIA" + "A1" * 8, "[REDACTED:aws-access-key-id]"),
        ("gho_" + "a" * 30 + ".", "[REDACTED:github-token]."),
        ("xoxp-" + "1-" * 5, "[REDACTED:slack-token]"),
        ("authorization:  bearer " + "a.b" * 7, "[REDACTED:bearer-token]"),
        ("Authorization: Bearer sk-" + "a" * 20, "Authorization: Bearer [REDACTED:openai-api-key]"),
        ("eyJ" + "a" * 8 + ".eyJ" + "b" * 8 + "." + "c" * 8, "[REDACTED:jwt]"),
    ],
)
def test_nexo_rules_do_what_nexo_does(text: str, expected: str) -> None:
    assert scrub(text)[0] == expected


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_planted_kind_is_found_by_its_rule(kind: str) -> None:
    one = secret(Random(1), kind)
    assert scrub(f"before {one} after") == (f"before [REDACTED:{kind}] after", {kind: 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a\n-----{_KEY}\nMIIE\nab/+=\n-----{_END}\nb", "a\n[REDACTED:private-key]\nb"),
        (f'K="-----{_KEY}\\nMIIEpAIBAAKCAQEA\\n-----{_END}\\n"', 'K="[REDACTED:private-key]\\n"'),
        (f"-----{_KEY}\n{'A' * 64}\n{'B' * 30}", "[REDACTED:private-key]"),
        ("https://u:p@ss!w@host/x?a=b@c", "https://u:[REDACTED:url-password]@host/x?a=b@c"),
        ("postgres://:pw@[::1]/x", "postgres://:[REDACTED:url-password]@[::1]/x"),
        ("http://host:8080/a@b and mail@host", "http://host:8080/a@b and mail@host"),
        ('api_key = "not for you"', 'api_key = "[REDACTED:secret-keyword]"'),
        ('"password": "a\\"b", "c": 1', '"password": "[REDACTED:secret-keyword]", "c": 1'),
        ('{\\"password\\": \\"hunter2\\"}', '{\\"password\\": \\"[REDACTED:secret-keyword]\\"}'),
        ("sk-" + "a" * 20 + ": hunter22", "[REDACTED:openai-api-key]: hunter22"),
        (("sk-" + "a" * 20) * 3, "[REDACTED:openai-api-key]" * 3),
        ("\u5bc6gl" + "pat-" + "a" * 20 + "\u5bc6", "\u5bc6[REDACTED:gitlab-token]\u5bc6"),
        ("\u5bc6gh" + "p_" + "a" * 36 + "\u5bc6", "\u5bc6[REDACTED:github-token]\u5bc6"),
        ("\u5bc6https://u:p@h\u5bc6", "\u5bc6https://u:[REDACTED:url-password]@h\u5bc6"),
        ("\u5bc6h" + "f_" + "a" * 34 + "\u5bc6", "\u5bc6[REDACTED:huggingface-token]\u5bc6"),
        ("DB_PASSWORD=correcthorse", "DB_PASSWORD=[REDACTED:secret-keyword]"),
        ("client-key: q1w2e3r4t5", "client-key: [REDACTED:secret-keyword]"),
        ("password=get_password()", "password=get_password()"),
        ("password: ${SECRET_FROM_ENV}", "password: ${SECRET_FROM_ENV}"),
        ("her secret: patience, nothing else", "her secret: patience, nothing else"),
        ("\\u0073\\x6b-" + "a" * 20, "[REDACTED:openai-api-key]"),
        ("\\\\\\\\u0073k-" + "a" * 20, "[REDACTED:openai-api-key]"),
        ("https:\\/\\/u:hidden@host", "https:\\/\\/u:[REDACTED:url-password]@host"),
    ],
)
def test_other_rules(text: str, expected: str) -> None:
    found = scrub(text)[0]
    if "\\\\\\\\" in text:  # the backslashes before the escape belong to it or not
        found = found.lstrip("\\")
    assert found == expected


def _ids() -> list[str]:
    rng = Random(7)
    raw = rng.randbytes(64)
    vector = struct.pack("<96f", *(rng.gauss(0, 1) for _ in range(96)))
    some = str(uuid.UUID(bytes=raw[:16]))
    digests = [hashlib.new(one, raw).digest() for one in ("md5", "sha1", "sha256", "sha512")]
    return [
        some, some.upper(), some.replace("-", ""), "01HZX3V7Q8K9M2N4P6R8S0T2W4",
        *(one.hex() for one in digests),
        *(base64.b64encode(one).decode() for one in digests),
        *(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in digests),
        "sha256-" + base64.b64encode(digests[2]).decode(),
        base64.b64encode(vector).decode(), json.dumps(list(raw)), "V1StGXR8_Z5jdHi6B-myT",
        f"drawer_wing_room_{raw[:12].hex()}", f"t_e1_knows_3_{raw[:6].hex()}",
        f"{some}.drift-20260509-010203", "urn:chroma:segment/metadata/sqlite",
        "00000000-0000-0000-0000-000000000000", f"mine_palace_{raw[:8].hex()}.lock",
        f"x.json.4711.{some}.tmp", "ai-memory.pre-restore-2026-05-09T010203Z.db",
        f"1700000000:{raw[:20].hex()}", str(rng.getrandbits(64)), "2026-05-09T01:02:03.123456789Z",
        "age1" + "q" * 58, "SHA256:" + base64.b64encode(digests[2]).decode().rstrip("="),
        "3HkZnQqzT4pXr9sVwYb2cD", "claude-3-5-sonnet-20241022", "all-MiniLM-L6-v2",
        "/home/ana/Documents/Projects/2024-05/Quarterly_Report_v2.md",
    ]  # fmt: skip


@pytest.mark.parametrize("one", _ids())
def test_ids_and_digests_are_left_alone(one: str) -> None:
    tally: Counter[str] = Counter()
    for text in (one, f'"id": "{one}"', f"see {one}.", f"'{one}'", f'{{"x": "{one}"}}'):
        assert scrub(text) == (text, {})
        assert scrub_any(scrubber(), text, tally, "drawer_id") == text
        assert scrub_any(scrubber(), text, tally, "content") == text
    assert not tally


def test_random_text_of_another_form_is_taken_for_a_secret_unless_its_name_says_id() -> None:
    one = "q9ZxP4vKt2LmW8sRb3NfYc7Jd1Hg5TeUa0"
    assert scrub(f'x = "{one}"')[1] == {"high-entropy-string": 1}
    assert scrub(f'"request_id": "{one}"')[1] == {}


def test_users_rules_apply_and_never_touch_a_placeholder() -> None:
    assert scrub("pin 1234", r"pin=\d{4}")[0] == "pin [REDACTED:pin]"
    key = secret(Random(2), "openai-api-key")
    assert (
        scrub(f"a {key} b", r"all=\w+")[0]
        == "[REDACTED:all] [REDACTED:openai-api-key] [REDACTED:all]"
    )
    assert (
        scrub(f"({key})", r"odd=CTED:o|key\]|\(\[RED")[0]
        == "[REDACTED:odd][REDACTED:openai-api-key])"
    )


@pytest.mark.parametrize("rule", ["x", "=a", "a b=c", "a=(", "a=b*", "a=^", "n" * 65 + "=x"])
def test_rules_that_are_none_are_refused_without_a_word_of_them(rule: str) -> None:
    with pytest.raises(UsageError) as caught:
        Scrubber([rule])
    expression = rule.partition("=")[2]
    assert len(expression) < 2 or expression not in caught.value.message
