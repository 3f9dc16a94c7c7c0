"""Full-text indexes built again from what they index, so that no word of a secret is left in them.

Also where nothing was found: an index may hold words of rows that are long gone.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from palatine.redact.tables import quoted

_VIRTUAL = re.compile(
    r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE | re.DOTALL
)
_CONTENT = re.compile(
    r"""\bcontent\s*=\s*(?:'([^']*)'|"([^"]*)"|`([^`]*)`|\[([^\]]*)\]|([^\s,)]*))""", re.IGNORECASE
)
_SHADOWS = {
    "fts5": ("data", "idx", "docsize", "config"),
    "fts4": ("segments", "segdir", "docsize", "stat"),
    "fts3": ("segments", "segdir", "docsize", "stat"),
}
"""The tables an index consists of, its content not among them."""


def module_of(sql: str | None) -> str | None:
    """Return the module of a virtual table, by its CREATE statement, None for what is none."""
    match = _VIRTUAL.match(sql or "")
    return match[1].lower() if match else None


def index_tables(virtual: Iterable[tuple[str, str]]) -> set[str]:
    """Return the tables that hold indexes, of virtual tables given as name and SQL."""
    return {
        f"{name}_{suffix}"
        for name, sql in virtual
        for suffix in _SHADOWS.get(module_of(sql) or "", ())
    }


def rebuild(db: sqlite3.Connection, name: str, sql: str) -> str | None:
    """Build a full-text index anew; return what had to be made otherwise, if anything.

    Other virtual tables are left alone: what they hold lies in ordinary tables. Raises
    sqlite3.Error, also where the index needs a tokenizer that is not there.
    """
    module = module_of(sql)
    if module not in _SHADOWS:
        return None
    if not _is_contentless(sql):
        db.execute(f"INSERT INTO {quoted(name)}({quoted(name)}) VALUES('rebuild')")
        return None
    if module == "fts5":
        db.execute(f"INSERT INTO {quoted(name)}({quoted(name)}) VALUES('delete-all')")
    else:
        present = {row[0] for row in db.execute("SELECT name FROM sqlite_schema").fetchall()}
        for suffix in _SHADOWS[module]:
            if f"{name}_{suffix}" in present:
                db.execute(f"DELETE FROM {quoted(f'{name}_{suffix}')}")
    return f"full text {name!r} was emptied: it holds words and not the text they are from"


def _is_contentless(sql: str) -> bool:
    match = _CONTENT.search(sql)
    return match is not None and not any(match.groups())
