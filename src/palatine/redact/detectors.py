"""Secrets that are known by what they are called or by their randomness.

After three detectors of the detect-secrets library, with what a palace needs: values with escapes,
ids and digests left alone. The library is imported when they are first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

from palatine.redact.rules import MARK, NAME_MAX, PLACEHOLDER, Rule, in_group

_WORDS = (
    "(?:access|auth|refresh|bearer|session|bot|api|oauth|security)[_-]?token",
    "passphrase",
    "credentials?",
)
"""What else secrets are called, beside the library's list."""
_ANCHORS = ("key", "pass", "pwd", "secret", "token", "contrase", "credential")
"""One of these is in each of all these names."""
_PREFIX = 16
"""Characters of a name before its anchor that count: `service_` before `key`."""
_ID_NAME = re.compile(
    r"(?:^|[_.\-])(?:id|ids|uuid|guid|ulid|oid|cid|hash|sha\d*|md5|digest|checksum|etag|signature|"
    r"sig|fingerprint|cursor|revision|commit|seal|embedding|embeddings|vector|vectors|nonce|salt|"
    r"version|integrity)\Z|(?<=[a-z])(?:Id|Ids|Uuid|Hash|Digest)\Z",
    re.IGNORECASE,
)
_UUID_OR_HEX = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}", re.IGNORECASE
)
_RANDOM = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z")
_DIGEST_LENGTHS = {21, 22, 24, 26, 27, 28, 43, 44, 64, 86, 88}
"""Nanoid, ULID, KSUID, and 16, 20, 32 or 64 bytes in base64: ids, digests and signatures."""
_ENTROPY_MIN, _ENTROPY_MAX = 20, 120
"""Characters: longer ones are embeddings and the like."""
_CHANGES = 0.45
"""Share of neighbours of another class (upper, lower, digit): random text has 0.6, words 0.1."""
_NOTHING = re.compile(
    r"(?i)(?:true|false|none|null|nil|undefined|unset|empty|redacted|example|changeme|[*x.•-]+|"
    r"\d{1,5}|\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?)\Z"
)
_TEMPLATE = re.compile(r"\$|[{<%].*[}>%]\Z", re.DOTALL)
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z")
_LINE_START = re.compile(r"(?:\A|[\r\n])[ \t]*(?:[-*>][ \t]*)?(?:export[ \t]+)?[\"']?[\w.\-]*\Z")


@cache
def value_rules() -> tuple[Rule, ...]:
    """Return the rules that go by what stands around a value, or by its form."""
    keyword = re.compile(
        rf"""(?xi:(?:{"|".join(_ANCHORS)}) [\w-]{{0,40}} \\*["'\])]{{0,2}}
        [ \t]{{0,8}} (?: := | ={{1,3}}>? | : | \uff1a ) [ \t]{{0,8}} @? (?:
          (?P<q>["'`]) (?P<quoted>(?:\\.|(?!(?P=q))[^\\\r\n]){{1,4096}}) (?P=q)
        | (?P<e>\\+["']) (?P<inner>[^\r\n]{{1,4096}}?) (?P=e)
        | (?P<bare>[^\s"'`,;&<>{{}}()\[\]\\|]{{6,4096}}) ))"""
    )
    token = re.compile(
        r"(?a)\beyJ[A-Za-z0-9_\-=]{8,}\.[A-Za-z0-9_\-=]{8,}(?:\.[A-Za-z0-9_\-.+/=]*)?"
    )
    quoted = re.compile(rf"""(["'])([A-Za-z0-9+/_=-]{{{_ENTROPY_MIN},{_ENTROPY_MAX}}})\1""")
    return (
        Rule("json-web-token", token, ("eyj",), check=_formally_valid()),
        Rule(
            "secret-keyword",
            keyword,
            _ANCHORS,
            in_group("quoted", "inner", "bare"),
            _is_value,
            _ANCHORS,
            True,
        ),
        Rule("high-entropy-string", quoted, (), in_group(2), _is_unlabelled, (), True),
    )


@cache
def secret_word() -> str:
    """Return the expression for names of secrets: the library's list, dashes allowed, and more."""
    from detect_secrets.plugins.keyword import DENYLIST

    return "|".join((*(one.replace("_?", "[_-]?") for one in DENYLIST), *_WORDS))


@cache
def _secret_name() -> re.Pattern[str]:
    return re.compile(rf"(?:{secret_word()})", re.IGNORECASE)


def names_secret(name: str) -> bool:
    """Whether what is called so, a JSON key or a column, is secret by its name."""
    return len(name) < 200 and bool(_secret_name().search(PLACEHOLDER.sub("", name)))


def is_secret_value(value: str) -> bool:
    """Whether what stands under the name of a secret is one: no template, nothing empty."""
    return (
        len(value) > 2
        and not value.startswith(MARK)
        and not _NOTHING.match(value)
        and not _TEMPLATE.match(value)
    )


def is_random(value: str, name: str = "") -> bool:
    """Whether a whole value is random beyond doubt and no id, digest or embedding by its form."""
    if not _ENTROPY_MIN <= len(value) <= _ENTROPY_MAX or _ID_NAME.search(name):
        return False
    if (
        not _RANDOM.match(value)
        or len(value.rstrip("=")) in _DIGEST_LENGTHS
        or len(value) in _DIGEST_LENGTHS
    ):
        return False
    rest = _UUID_OR_HEX.sub("", value)
    if len(rest) < _ENTROPY_MIN or (set("/+") & set(rest) and set("_-") & set(rest)):
        return False
    classes = [_class(one) for one in rest]
    changes = sum(a != b for a, b in pairwise(classes))
    mixed = all(classes.count(one) >= 2 for one in "Aa0")
    if not mixed or changes < _CHANGES * len(rest):
        return False
    plugin = _entropy_plugin()
    return bool(plugin.calculate_shannon_entropy(rest) > plugin.entropy_limit - 0.3)


def _class(character: str) -> str:
    if character.isdigit():
        return "0"
    return "A" if character.isupper() else "a" if character.islower() else "-"


@cache
def _entropy_plugin() -> Any:
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString

    return Base64HighEntropyString()


def _is_value(match: re.Match[str], secret: str) -> bool:
    name = match.string[max(0, match.start() - _PREFIX) : match.start(match.lastgroup or 0)]
    if not _secret_name().search(name) or not is_secret_value(secret) or _is_placeholders(match):
        return False
    if match.start("bare") < 0:
        return True
    if _secret_name().search(secret) or _DOTTED.match(secret):
        return False  # `password=get_password()`, `api_key=settings.key`
    plain_word = secret.isalpha() and (secret.islower() or secret.istitle())
    after_colon = "=" not in match.string[match.start() : match.start("bare")]
    before = match.string[max(0, match.start() - 80) : match.start()]
    return not (plain_word and after_colon) or bool(_LINE_START.search(before))


def _is_placeholders(match: re.Match[str]) -> bool:
    """Whether the word that names the secret is a rule's name in a placeholder."""
    start = max(0, match.start() - NAME_MAX - len(MARK))
    found = PLACEHOLDER.finditer(match.string, start, match.start() + NAME_MAX + 1)
    return any(one.start() < match.start() < one.end() for one in found)


def _is_unlabelled(match: re.Match[str], secret: str) -> bool:
    before = match.string[max(0, match.start() - 60) : match.start()]
    name = re.search(r"([\w.\-]+)\\*[\"']?\s*[:=]\s*\Z", before)
    return is_random(secret, name[1] if name else "")


def _formally_valid() -> Callable[[re.Match[str], str], bool]:
    from detect_secrets.plugins.jwt import JwtTokenDetector

    def check(_: re.Match[str], secret: str) -> bool:
        return JwtTokenDetector.is_formally_valid(".".join(secret.split(".")[:2]))

    return check
