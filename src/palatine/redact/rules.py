"""What counts as a secret, as rules: a pattern, what of a match is secret, and the rule's name.

The first seven are those of nexo-memory-snapshot (`redaction.rs`), with its names and its order, so
that a text they redact is what nexo makes of it. Then come the user's rules, ours, and those of the
library (`detectors.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from palatine.errors import UsageError

NAME_MAX = 64
"""Characters of a rule's name."""
PLACEHOLDER = re.compile(rf"\[REDACTED:[A-Za-z0-9._-]{{1,{NAME_MAX}}}\]")
MARK = "[REDACTED:"
_OVERLAPS = 8
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{NAME_MAX}}}\Z")

Span = tuple[int, int]


@dataclass(frozen=True)
class Rule:
    """One kind of secret.

    `literals` are lower-case; a text without any of them has no match (empty: always look).
    `where` says where in a match the secret is, `check` has the last word on match and secret.
    """

    name: str
    pattern: re.Pattern[str]
    literals: tuple[str, ...] = ()
    where: Callable[[re.Match[str]], Span] = re.Match.span
    check: Callable[[re.Match[str], str], bool] | None = None
    anchors: tuple[str, ...] = ()
    """Lower-case: the pattern matches only where one of these begins, which is quickly found."""
    structured: bool = False
    """Goes by what stands around a value: not for SQL, where that is a program."""

    @property
    def placeholder(self) -> str:
        """Return what stands where a secret was."""
        return f"{MARK}{self.name}]"

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the matches of the pattern, from left to right, not overlapping."""
        lowered = text.lower() if self.anchors else ""
        if not self.anchors or len(lowered) != len(text):
            yield from self.pattern.finditer(text)
            return
        at = 0
        for place in sorted(_places(lowered, self.anchors)):
            if place >= at and (match := self.pattern.match(text, place)):
                yield match
                at = match.end()

    def spans(self, text: str) -> Iterator[Span]:
        """Yield where secrets stand in a text, from left to right, not overlapping."""
        for match in self.matches(text):
            yield from self._confirmed(match)
            # Keys without anything between: the first takes the beginning of the second with it
            place, end = match.start() + 1, match.end()
            for _ in range(_OVERLAPS):
                inner = self.pattern.search(text, place)
                if inner is None or inner.start() >= end:
                    break
                if inner.end() > end:
                    yield from ((end, last) for _, last in self._confirmed(inner) if last > end)
                    end = inner.end()
                place = inner.start() + 1

    def _confirmed(self, match: re.Match[str]) -> Iterator[Span]:
        start, end = self.where(match)
        if start < end and (self.check is None or self.check(match, match.string[start:end])):
            yield start, end


def _places(text: str, anchors: Sequence[str]) -> Iterator[int]:
    for anchor in anchors:
        place = text.find(anchor)
        while place >= 0:
            yield place
            place = text.find(anchor, place + 1)


def in_group(*groups: int | str) -> Callable[[re.Match[str]], Span]:
    """Return a `where`: the secret is the first of these groups that took part."""

    def where(match: re.Match[str]) -> Span:
        return match.span(next(one for one in groups if match.start(one) >= 0))

    return where


def _rule(name: str, pattern: str, *literals: str, group: int = 0) -> Rule:
    # Words end where ASCII does: a key may stand in Chinese, which has no spaces
    flags = re.NOFLAG if r"\s" in pattern else re.ASCII
    return Rule(name, re.compile(pattern, flags), literals, in_group(group))


NEXO: tuple[Rule, ...] = (
    _rule("anthropic-api-key", r"sk-ant-[A-Za-z0-9_\-]{40,}", "sk-ant-"),
    _rule("openai-api-key", r"sk-[A-Za-z0-9]{20,}", "sk-"),
    _rule("aws-access-key-id", r"AKIA[0-9A-Z]{16}", "akia"),
    _rule("github-token", r"\bgh[pousr]_[A-Za-z0-9]{30,}\b", "gh"),
    _rule("slack-token", r"xox[baprs]-[A-Za-z0-9\-]{10,}", "xox"),
    _rule(
        "bearer-token", r"(?i)Authorization:\s*Bearer\s+[A-Za-z0-9._\-]{20,}", "authorization:"
    ),
    _rule(
        "jwt", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\b", "eyj"
    ),
)  # fmt: skip
"""formats.md 1D, item 40."""

_BEGIN = r"-----?(?: )?BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?(?: )?-----?"
_END = r"-----?(?: )?END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?(?: )?-----?"
_BODY = r"""(?:\\[nr]|[\s>\#|*"',+]|[A-Za-z0-9+/=]{16,}|[A-Z][A-Za-z-]{3,20}:\ [^\n"]{1,100})*
    (?:[A-Za-z0-9+/]{1,15}={0,2}(?![A-Za-z0-9+/=]))?"""
# A block that ends, a block in string literals or cut off, PuTTY's own format.
_PRIVATE_KEY = rf"""(?x:
    {_BEGIN.replace(" ", "[ ]")} (?: [^"]{{1,32768}}? {_END.replace(" ", "[ ]")} | {_BODY} )
    | PuTTY-User-Key-File-[23]: [^"]{{1,32768}}? Private-MAC:[ ]*[0-9a-f]+
)"""

OWN: tuple[Rule, ...] = (
    _rule("private-key", _PRIVATE_KEY, "private key", "putty-user-key-file"),
    _rule("age-secret-key", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50,}", "age-secret-key-"),
    _rule(
        "url-password",
        r"""(?<![A-Za-z0-9_])[A-Za-z][A-Za-z0-9+.\-]{1,30}://[^\s/?#:@"'<>\\]{0,256}:([^\s/?#"'<>]{1,512})@(?=[\w.\[%-])""",
        "://",
        group=1,
    ),
    _rule(
        "basic-authorization",
        r"(?i)(?<![a-z0-9_])Authorization[\"']?\s*[:=]\s*[\"']?Basic\s+([A-Za-z0-9+/=_\-]{8,})",
        "authorization",
        group=1,
    ),
    _rule("npm-token", r"""_authToken\s*=\s*["']?([^\s"'$\[]{16,512})""", "_authtoken", group=1),
    _rule("npm-token", r"\bnpm_[A-Za-z0-9]{36,}\b", "npm_"),
    _rule("github-token", r"\bgithub_pat_[A-Za-z0-9_]{22,}\b", "github_pat_"),
    _rule(
        "openai-api-key", r"\bsk-(?:proj|svcacct|admin|or|lf)-[A-Za-z0-9_\-]{20,}", "sk-"
    ),
    _rule("google-api-key", r"\bAIza[0-9A-Za-z_\-]{35}(?![0-9A-Za-z_\-])", "aiza"),
    _rule("google-oauth-token", r"\bya29\.[0-9A-Za-z_\-]{20,}", "ya29."),
    _rule("huggingface-token", r"\bhf_[A-Za-z0-9]{30,}\b", "hf_"),
    _rule("model-api-key", r"\b(?:xai-|gsk_|pplx-|r8_)[A-Za-z0-9]{32,}\b",
          "xai-", "gsk_", "pplx-", "r8_"),
    _rule("slack-token", r"\bxapp-[A-Za-z0-9\-]{10,}", "xapp-"),
)  # fmt: skip


def user_rules(texts: Sequence[str]) -> list[Rule]:
    """Return the rules that `NAME=REGEX` texts say; raises UsageError for one that is none."""
    return [_user_rule(text) for text in texts]


def _user_rule(text: str) -> Rule:
    # The expression may be the secret itself: no message quotes it.
    name, equals, expression = text.partition("=")
    if not equals or not _NAME.match(name):
        raise UsageError(
            "a redaction rule is not NAME=REGEX",
            f"NAME is 1 to {NAME_MAX} of letters, digits, dot, dash and underscore.",
        )
    try:
        pattern = re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, re.error) else ""
        raise UsageError(
            f"the expression of redaction rule {name!r} is no regular expression{where}",
            "Expressions are those of Python's re module.",
        ) from None
    if pattern.match("") or pattern.search(""):
        raise UsageError(
            f"the expression of redaction rule {name!r} matches the empty text",
            "Let it need at least one character of the secret.",
        )
    return Rule(name, pattern)
