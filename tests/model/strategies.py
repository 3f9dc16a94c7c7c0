"""Well-formed values of the model, for hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from palatine.ids import Kind
from palatine.model.filelist import FileList
from palatine.model.pack import HEADER_SIZE, Frame, FrameKind, Listing, Member
from palatine.model.snapshot import Artifact, CapturedAs, Health, Missing, Outside, Snapshot, Stats
from palatine.model.tree import POOLED_MAX, Branch, Entry, EntryKind, Node, Owner, Part, Piece

IDS = st.binary(min_size=32, max_size=32)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
USERS = TEXT.filter(lambda name: "\0" not in name)
OWNERS = st.builds(Owner, st.integers(0, 2**32 - 1), USERS, st.integers(0, 2**32 - 1), USERS)
NAMES = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in (b".", b"..") and not set(name) & {0x2F, 0}
)
TIMES = st.integers(-(2**62), 2**62)
XATTRS = st.dictionaries(NAMES, st.binary(max_size=20), max_size=2).map(
    lambda found: tuple(sorted(found.items()))
)


def _file(draw: st.DrawFn, common: dict[str, Any]) -> Entry:
    size = draw(st.integers(0, POOLED_MAX))
    if draw(st.booleans()):
        return Entry(kind=EntryKind.FILE, size=size, **common)
    parts: list[Part] = []
    holes: list[tuple[int, int]] = []
    at = 0
    for length in draw(st.lists(st.integers(1, 2**40), min_size=1, max_size=4)):
        if draw(st.booleans()):
            holes.append((at, length))
        else:
            parts.append(Part(draw(IDS), length))
        at += length
    level = draw(st.integers(0, 8)) if parts else 0
    return Entry(
        kind=EntryKind.FILE, size=at, level=level, parts=tuple(parts), holes=tuple(holes),
        **common,
    )  # fmt: skip


@st.composite
def entries(draw: st.DrawFn, name: bytes, owners: int) -> Entry:
    """One entry of any kind."""
    common: dict[str, Any] = {
        "name": name,
        "mode": draw(st.integers(0, 0o7777)),
        "owner": draw(st.integers(0, owners - 1)),
        "mtime_ns": draw(TIMES),
        "xattrs": draw(XATTRS),
    }
    kind = draw(st.sampled_from(EntryKind))
    if kind == EntryKind.FILE:
        return _file(draw, common)
    if kind == EntryKind.DIRECTORY:
        return Entry(kind=kind, parts=(Part(draw(IDS), 0),), **common)
    return Entry(kind=kind, target=draw(NAMES), **common)


@st.composite
def piece_values(draw: st.DrawFn) -> Piece:
    """A piece whose entries are in order and whose pool fits them."""
    names = sorted(draw(st.sets(NAMES, max_size=6)))
    owners = draw(st.lists(OWNERS, min_size=1, max_size=3))
    found = [draw(entries(name, len(owners))) for name in names]
    pooled = sum(entry.size for entry in found if entry.pooled)
    pool = (Part(draw(IDS), pooled),) if pooled else ()
    return Piece(tuple(owners), pool, tuple(found))


@st.composite
def node_values(draw: st.DrawFn) -> Node:
    """A node with branches in order."""
    names = sorted(draw(st.sets(NAMES, min_size=1, max_size=6)))
    branches = tuple(Branch(name, draw(IDS), draw(st.integers(0, 2**40))) for name in names)
    return Node(draw(st.integers(1, 8)), branches)


LISTS = st.builds(
    FileList,
    st.integers(1, 8),
    st.lists(st.builds(Part, IDS, st.integers(1, 2**40)), min_size=1, max_size=9).map(tuple),
)


@st.composite
def frame_lists(draw: st.DrawFn) -> list[Frame]:
    """Frames one after the other, as a pack has them."""
    frames = []
    at = HEADER_SIZE
    for length in draw(st.lists(st.integers(1, 2**20), max_size=5)):
        kind = draw(st.sampled_from(FrameKind))
        most = 4 if kind == FrameKind.SOLID else 1
        member = st.builds(Member, st.sampled_from(Kind), IDS, st.integers(0, 2**24))
        members = draw(st.lists(member, min_size=1, max_size=most))
        delta = kind == FrameKind.DELTA
        base = draw(IDS) if delta else b""
        ordinal = draw(st.integers(1, 2**39)) if delta else 0
        frames.append(Frame(kind, at, length, tuple(members), base, ordinal))
        at += length
    return frames


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    """What a pack holds."""
    frames = draw(frame_lists())
    end = frames[-1].offset + frames[-1].length if frames else HEADER_SIZE
    return Listing(draw(IDS), end + draw(st.integers(44, 5000)), tuple(frames))


PALACES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True)
LABELS = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True)
ROOTS = st.builds(
    lambda tree, mode, time: Entry(b"", EntryKind.DIRECTORY, mode, 0, time, parts=(Part(tree, 0),)),
    IDS,
    st.integers(0, 0o7777),
    TIMES,
)
COUNTS = st.integers(0, 2**60)
SNAPSHOTS = st.builds(
    Snapshot,
    tenant=PALACES,
    palace=PALACES,
    time_us=st.integers(0, 2**52),
    wall_us=st.integers(0, 2**52),
    host=TEXT,
    user=TEXT,
    path=st.binary(max_size=50),
    parents=st.lists(IDS, max_size=2).map(tuple),
    message=TEXT,
    layout=TEXT,
    owner=OWNERS,
    root=ROOTS,
    outside=st.lists(
        st.builds(Outside, LABELS, st.binary(max_size=9), OWNERS, ROOTS), max_size=2
    ).map(tuple),
    stats=st.builds(Stats, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    artifacts=st.lists(
        st.builds(
            Artifact,
            st.binary(max_size=9),
            TEXT,
            st.sampled_from(CapturedAs),
            st.sampled_from(Health),
        ),
        max_size=2,
    ).map(tuple),
    missing=st.lists(st.builds(Missing, st.binary(max_size=9), TEXT), max_size=2).map(tuple),
    program=TEXT,
)
