"""The patterns of the detect-secrets library, which is imported when they are first asked for.

Its patterns are used, not its scanner: nothing is looked up in a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from palatine.redact.rules import Rule, Span

_SKIPPED = {
    "IPPublicDetector": "an address is no secret",
    "PrivateKeyDetector": "finds the first line only; ours takes the block",
    "NpmDetector": "takes what follows on the line; ours takes the token",
    "BasicAuthDetector": "ours also takes passwords with signs in them",
    "JwtTokenDetector": "leaves the signature; see json-web-token",
}
_LITERALS = {
    "artifactory-credentials": ("akc", "ap"),
    "aws-access-key": ("a3t", "abia", "acca", "akia", "asia", "aws"),
    "azure-storage-account-access-key": ("accountkey=",),
    "cloudant-credentials": ("cl",),
    "gitlab-token": ("gl", "gr1348941"),
    "github-token": ("gh",),
    "ibm-cloud-iam-key": ("key", "pwd", "pass", "token"),
    "ibm-cos-hmac-credentials": ("secretkey", "secret_", "secret-", "secretaccess"),
    "mailchimp-access-key": ("-us",),
    "openai-token": ("t3blbkfj",),
    "discord-bot-token": (".",),
    "pypi-token": ("pypi-",),
    "sendgrid-api-key": ("sg.",),
    "slack-token": ("xox", "hooks.slack.com"),
    "softlayer-credentials": ("sl", "softlayer"),
    "square-oauth-secret": ("sq0csp-",),
    "stripe-access-key": ("k_live_",),
    "telegram-bot-token": (":",),
    "twilio-api-key": ("ac", "sk"),
}
"""What a text has to hold for a detector of the library to be worth its time."""
_WHOLE_TOKEN = {
    "artifactory-credentials", "aws-access-key", "discord-bot-token", "mailchimp-access-key",
    "telegram-bot-token", "twilio-api-key",
}  # fmt: skip
"""Patterns without an end of their own: inside a longer token they are part of an id or digest."""
_EDGES = "\"'=: \t\r\n"
_TOKEN = re.compile(r"[A-Za-z0-9_-]")


@cache
def library_rules() -> tuple[Rule, ...]:
    """Return a rule for each pattern of the library that is of use here."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    found: list[Rule] = []
    by_type: Iterable[tuple[str, Any]] = get_mapping_from_secret_type_to_class().items()
    for kind, plugin in sorted(by_type):
        if issubclass(plugin, RegexBasedDetector) and plugin.__name__ not in _SKIPPED:
            name = re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")
            patterns: Iterable[re.Pattern[str]] = plugin.denylist
            found.extend(_library_rule(name, pattern) for pattern in patterns)
    return tuple(found)


def _library_rule(name: str, pattern: re.Pattern[str]) -> Rule:
    pattern = re.compile(pattern.pattern, pattern.flags & ~re.UNICODE | re.ASCII)
    check = _stands_alone if name in _WHOLE_TOKEN else None
    return Rule(name, pattern, _LITERALS.get(name, ()), _secret_part, check)


def _secret_part(match: re.Match[str]) -> Span:
    """Return the group that the match ends with, if there is one, else all but quotes and such.

    Some groups of the library's patterns are the secret, some only its prefix.
    """
    groups = match.re.groups
    if groups and match.start(groups) > match.start() and match.end() - match.end(groups) <= 2:
        return match.span(groups)
    found = match[0]
    start = match.start() + len(found) - len(found.lstrip(_EDGES))
    return start, max(start, match.start() + len(found.rstrip(_EDGES)))


def _stands_alone(match: re.Match[str], secret: str) -> bool:
    start, end = _secret_part(match)
    text = match.string
    return not _TOKEN.match(text[start - 1 : start]) and not _TOKEN.match(text[end : end + 1])
