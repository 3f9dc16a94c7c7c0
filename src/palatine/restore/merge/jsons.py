"""JSON text as containers of members, each with its own text: what is not changed stays as it was.

So numbers keep their digits and objects their order, whoever wrote them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

_SPACE = re.compile(r"[ \t\n\r]*")
_decode = json.JSONDecoder().raw_decode


class Member(NamedTuple):
    """A member of a list (`name` is None) or an object: its value and the value's text."""

    name: str | None
    value: Any
    text: str

    @property
    def canonical(self) -> str:
        """The value as one text, the same for equal values."""
        return canonical(self.value)


@dataclass(frozen=True)
class Container:
    """A list or an object: its members, and the space around and between them."""

    is_list: bool
    members: tuple[Member, ...]
    opening: str
    between: str
    closing: str

    def with_members(self, members: Sequence[Member], like: Container) -> str:
        """Return the text of a container with these members; an empty one is spaced `like` that."""
        spaced = self if self.members else like
        begin, end = "[]" if self.is_list else "{}"
        if not members:
            return begin + end
        told = (
            one.text
            if one.name is None
            else f"{json.dumps(one.name, ensure_ascii=False)}: {one.text}"
            for one in members
        )
        return f"{begin}{spaced.opening}{spaced.between.join(told)}{spaced.closing}{end}"

    @property
    def names(self) -> dict[str | None, Member] | None:
        """Return an object's members by name; None when a name comes twice."""
        found = {one.name: one for one in self.members}
        return found if len(found) == len(self.members) else None


def parse(data: bytes) -> tuple[str, Member, str]:
    """Return what precedes a document's value, the value, and what follows; raises ValueError."""
    text = data.decode("utf-8")
    try:
        start = _past_space(text, 0)
        value, end = _decode(text, start)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if _past_space(text, end) != len(text):
        raise ValueError(f"there is more behind its end, at character {end}")
    return text[:start], Member(None, value, text[start:end]), text[end:]


def container(member: Member) -> Container:
    """Return a list or an object as a container."""
    text = member.text
    is_list = text[0] == "["
    at = first = _past_space(text, 1)
    members: list[Member] = []
    between, end = "", 1
    while text[at] not in "]}":
        if len(members) == 1:
            between = text[end:at]
        name = None
        if not is_list:
            name, at = _decode(text, at)
            at = _past_space(text, _past_space(text, at) + 1)
        value, end = _decode(text, at)
        members.append(Member(name, value, text[at:end]))
        at = _past_space(text, end)
        if text[at] == ",":
            at = _past_space(text, at + 1)
    opening = text[1:first] if members else ""
    return Container(
        is_list, tuple(members), opening, between or f",{opening or ' '}", text[end:-1]
    )


def canonical(value: Any) -> str:
    """Return a value as one text: the same for equal values, and 1 is neither 1.0 nor true."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
