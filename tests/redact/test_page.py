"""docs/redaction.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from palatine.redact import binary, blobs, contents, rules, textfile, tree
from palatine.redact.detectors import value_rules

PAGE = (Path(__file__).parents[2] / "docs" / "redaction.md").read_text("utf-8")
_NAMED = {one.name for one in (*rules.NEXO, *rules.OWN, *value_rules())}


@pytest.mark.parametrize("name", sorted(_NAMED))
def test_every_rule_of_ours_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("kind", sorted(kind for _, kind in binary._OPAQUE))
def test_every_kind_that_is_left_out_is_named(kind: str) -> None:
    words = set(kind.replace(",", "").split())
    words -= {"a", "an", "archive", "compressed", "by", "which", "is", "may", "be", "database"}
    words -= {"file", "encrypted"}
    left_out = PAGE.partition("Left out, because")[2].partition("## Databases")[0]
    assert words <= set(left_out.replace(",", " ").replace(";", " ").replace(":", " ").split())


def test_names_and_sizes() -> None:
    for name in (*binary.VECTOR_NAMES, *tree._OTHER_HISTORIES):
        assert f"`{name.decode()}`" in PAGE
    assert f"{textfile.MATCH_MAX:,} characters" in PAGE
    assert f"{textfile.WINDOW >> 20} Mi characters" in PAGE
    assert f"Up to {textfile.WHOLE_MAX >> 20} MiB" in PAGE
    assert f"up to {contents.UNPACKED_MAX >> 30} GiB" in PAGE
    assert f"{blobs.UNPACKED_MAX >> 20} MiB" in PAGE
    assert binary.RUN == 6
    assert "runs of six ASCII characters" in PAGE
