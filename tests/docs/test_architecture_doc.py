"""docs/architecture.md names what is there, and leaves no room out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import palatine

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = Path(palatine.__file__).parent
TEXT = (DOCS / "architecture.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`((?:[a-z_]+/)*(?:[a-z_]+\.py|[a-z_]+/))`", TEXT)))
TABLE = TEXT.partition("## To change X")[2]


def test_modules_are_named() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize("name", NAMED)
def test_every_module_named_exists(name: str) -> None:
    assert (SOURCE / name).exists()


def test_every_module_of_the_ground_floors_and_every_package_has_a_row() -> None:
    rooms = {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("__")}
    rooms |= {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}" not in TABLE} == set()


def test_the_diagram_shows_every_floor() -> None:
    diagram = TEXT.partition("```")[2].partition("```")[0]
    rooms = {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("__")}
    rooms |= {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}
    assert {room for room in rooms if room not in diagram} == set()


PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if target and "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors_are_headings(page: Path) -> None:
    text = page.read_text("utf-8")
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


def test_decision_records_have_their_parts() -> None:
    records = sorted((DOCS / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        parts = re.findall(r"^## (.*)$", path.read_text("utf-8"), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences", "Alternatives"], path.name
