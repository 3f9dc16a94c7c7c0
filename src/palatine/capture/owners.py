"""Users and groups: numbers from stat, names from the host's database, looked up once each."""

from __future__ import annotations

import grp
import os
import pwd

from palatine.model.tree import Owner


class Owners:
    """Owners by number; a number without a name has an empty one."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Owner] = {}

    def of(self, status: os.stat_result) -> Owner:
        """Return the owner of what has this stat."""
        numbers = (status.st_uid, status.st_gid)
        if numbers not in self._known:
            self._known[numbers] = Owner(
                numbers[0], _user(numbers[0]), numbers[1], _group(numbers[1])
            )
        return self._known[numbers]


def _as_text(name: str) -> str:
    """Return a name as text that can be stored; one that is not UTF-8 counts as none."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return ""
    return name


def _user(uid: int) -> str:
    try:
        return _as_text(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return ""


def _group(gid: int) -> str:
    try:
        return _as_text(grp.getgrgid(gid).gr_name)
    except KeyError:
        return ""
