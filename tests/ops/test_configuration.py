"""The configuration file: what it says, and how its mistakes are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from palatine.errors import UsageError
from palatine.ops.configuration import Configuration, load, parse
from palatine.ops.hooks import NO_HOOKS, Hooks

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_example_of_the_page() -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert found is not None
    alpha, ben = parse(found[1], "config.toml").palaces
    assert alpha.path == Path("~/.local/share/trusty-memory/palaces/alpha").expanduser()
    assert (alpha.name, alpha.tenant, alpha.excludes, alpha.check) == (
        "",
        "default",
        ("*.log",),
        True,
    )
    assert alpha.hooks == NO_HOOKS
    assert (ben.name, ben.tenant, ben.excludes) == ("ben", "research", ("*.log", "cache/"))
    assert not ben.hooks.stops
    assert "$PALATINE_SNAPSHOT" in ben.hooks.after


def test_every_key_is_on_the_page() -> None:
    from palatine.ops import configuration

    told = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE.read_text("utf-8"), re.M))
    assert told == set(configuration._Palace.__struct_encode_fields__)


def test_what_a_palace_says_goes_before_the_defaults() -> None:
    text = """
        [defaults]
        tenant = "team"
        layout = "generic"
        check = true
        hook-failure = "go-on"
        hook-timeout = "2min"
        hooks = {before = "a", after = "b"}
        [[palace]]
        path = "/one"
        [[palace]]
        path = "/two"
        tenant = "mine"
        check = false
        hook-failure = "stop"
        hook-timeout = 1.5
        hooks = {before = "", on-failure = "c"}
    """
    one, two = parse(text, "x").palaces
    assert (one.tenant, one.layout, one.check) == ("team", "generic", True)
    assert one.hooks == Hooks("a", "b", "", False, 120)
    assert (two.tenant, two.check) == ("mine", False)
    assert two.hooks == Hooks("", "b", "c", True, 1.5)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("x =\n", "c.toml", "line 1"),
        ("[paalce]\n", "c.toml, line 1", "no key 'paalce'"),
        ('[[palace]]\npath = "/a"\n\n[[palace]]\npath = "/b"\nexlude = []\n', "line 6", "'exlude'"),
        ("[[palace]]\nname = 'x'\n", "line 1", "'path' is missing"),
        ("[[palace]]\npath = 3\n", "line 2", "expected `str`"),
        ("[defaults]\nhook-failure = 'no'\n", "line 2", "'no'"),
        ("[[palace]]\npath = 'here'\n", "line 1", "relative"),
        ("[[palace]]\npath = '/a'\nname = '-'\n", "line 1", "'-' is not a palace name"),
        ("[[palace]]\npath = '/a'\ntenant = 'a b'\n", "line 1", "not a tenant name"),
        ("[[palace]]\npath = '/a'\n[palace.hooks]\nbefor = 'x'\n", "line 4", "'befor'"),
        ("[[palace]]\npath = '/a'\nexclude = ['a', 1]\n", "line 3", "exclude"),
        ("[[palace]]\npath = '/a'\n[[palace]]\npath = '/a/'\n", "c.toml", "twice"),
        ("[[palace]]\npath = '/a'\nname='n'\n[[palace]]\npath = '/b'\nname='n'", "c.toml", "both"),
        ("[[palace]]\npath = '/a'\nhook-timeout = 'soon'\n", "line 1", "not a length of time"),
        ("[[palace]]\npath = '/a'\nhook-timeout = 0\n", "line 1", "more than nothing"),
        ("[palace]\npath = '/a'\n", "line 1", "array"),
        ("[[palace]]\npath = '~nobody-here/a'\n", "line 1", "user nobody here has"),
    ],
)
def test_mistakes(text: str, where: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "c.toml")
    assert where in caught.value.message
    assert what in caught.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert load(tmp_path / "none", required=False) == Configuration()
    with pytest.raises(UsageError, match="no configuration file"):
        load(tmp_path / "none", required=True)
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path, required=True)
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(tmp_path / "binary", required=True)


def test_a_path_is_known_whatever_way_leads_there(tmp_path: Path) -> None:
    (tmp_path / "palace").mkdir()
    (tmp_path / "link").symlink_to("palace")
    known = parse(f"[[palace]]\npath = '{tmp_path}/link'\nname = 'n'\n", "x")
    found = known.of(tmp_path / "palace" / ".." / "palace")
    assert found is not None
    assert found.name == "n"
    assert known.of(tmp_path) is None
