"""Fixed values whose bytes are on record: nothing here may change while the format is 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from palatine.codec import delta
from palatine.ids import Digest, Kind
from palatine.model.config import Chunking, Config, encode_config
from palatine.model.encoding import encode
from palatine.model.filelist import FileList
from palatine.model.pack import (
    HEADER_SIZE,
    Frame,
    FrameKind,
    Listing,
    Member,
    encode_footer,
    encode_segment,
    encode_trailer,
)
from palatine.model.snapshot import (
    Artifact,
    CapturedAs,
    Health,
    Missing,
    Outside,
    Snapshot,
    Stats,
    encode_snapshot_file,
)
from palatine.model.tree import EMPTY_TREE, Branch, Entry, EntryKind, Node, Owner, Part, Piece

HERE = Path(__file__).parent
RECORD = HERE / "record.json"
DIGESTS = ("blake3", "sha256")
ID, OTHER = bytes(range(32)), bytes(range(32, 64))
OWNER = Owner(1000, "agent", 100, "users")

PIECE = Piece(
    (OWNER, Owner(0, "root", 0, "")),
    (Part(ID, 300),),
    (
        Entry(b"big.db", EntryKind.FILE, 0o600, 0, 1_777_777_777_123_456_789, 3 << 20, 0,
              (Part(ID, 1 << 20), Part(OTHER, 2 << 20))),
        Entry(b"huge", EntryKind.FILE, 0o644, 1, -1, 5 << 40, 2, (Part(ID, 1 << 40),),
              ((1 << 40, 4 << 40),)),
        Entry(b"link", EntryKind.SYMLINK, 0o777, 0, 0, target=b"../\xff"),
        Entry(b"note", EntryKind.FILE, 0o4755, 0, 1, 300, xattrs=((b"user.a", b"\0"),)),
        Entry(b"second", EntryKind.FILE, 0o644, 0, 0, 70_000, 0, (Part(OTHER, 70_000),),
              link=b"big.db"),
        Entry(b"sub\n", EntryKind.DIRECTORY, 0o755, 0, 2**63, parts=(Part(OTHER, 0),)),
    ),
)  # fmt: skip
NODE = Node(1, (Branch(b"a", ID, 100), Branch(b"m\xff", OTHER, 70_000)))
LIST = FileList(2, (Part(ID, 1 << 30), Part(OTHER, 1)))
ROOT = Entry(b"", EntryKind.DIRECTORY, 0o700, 0, 5, parts=(Part(ID, 0),))
SNAPSHOT = Snapshot(
    "team", "Alpha.1", 1_777_777_777_000_001, 1_777_777_000_000_000, "host", "user", b"/p/\xff",
    (ID, OTHER), "before the move ä", "generic", OWNER, ROOT,
    (Outside("memdir", b"/elsewhere", OWNER, ROOT),), Stats(1, 2, 3, 4, 5),
    (Artifact(b"kg.db", "sqlite", CapturedAs.PINNED, Health.SOUND),),
    (Missing(b"x", "Permission denied"),), "palatine",
)  # fmt: skip
FRAMES = [
    Frame(FrameKind.SOLID, HEADER_SIZE, 100,
          (Member(Kind.TREE, ID, 70), Member(Kind.LIST, OTHER, 300))),
    Frame(FrameKind.PLAIN, HEADER_SIZE + 100, 5000, (Member(Kind.CHUNK, OTHER, 1 << 20),)),
    Frame(FrameKind.DELTA, HEADER_SIZE + 5100, 200, (Member(Kind.CHUNK, ID, 1 << 20),), OTHER, 17),
]  # fmt: skip
CONFIG = Config(1, "00112233445566778899aabbccddeeff", "sha256", Chunking())


def _trailer(digest: str) -> bytes:
    return encode_trailer(encode_footer(FRAMES), Digest(digest))


ENCODINGS: dict[str, Callable[[], bytes]] = {
    "piece": lambda: encode(PIECE),
    "node": lambda: encode(NODE),
    "empty tree": lambda: EMPTY_TREE,
    "list": lambda: encode(LIST),
    "footer": lambda: encode_footer(FRAMES),
    "trailer blake3": lambda: _trailer("blake3"),
    "trailer sha256": lambda: _trailer("sha256"),
    "segment": lambda: encode_segment([Listing(ID, 6000, tuple(FRAMES))]),
    "config": lambda: encode_config(CONFIG),
    "snapshot file blake3": lambda: encode_snapshot_file(SNAPSHOT, Digest("blake3"))[1],
    "snapshot file sha256": lambda: encode_snapshot_file(SNAPSHOT, Digest("sha256"))[1],
}

PLAIN = [b"", b"a", b"palatine\0" * 5, bytes(range(256)) * 3]
"""Bytes whose ids, as each kind of object, are on record."""


def base() -> bytes:
    """Return the base of the deltas on record."""
    return Random("golden base").randbytes(20_000)


def versions() -> dict[str, bytes]:
    """Return what the deltas on record give."""
    old = base()
    return {
        "by pages": old[:5000] + b"changed" + old[5007:],
        "by the whole base": b"moved" + old,
        "grown": old + b"more",
        "shrunk": old[:9000],
        "equal": old,
    }


def deltas() -> dict[str, bytes]:
    """Return today's deltas; another version of zstd may write other bytes."""
    return {name: delta.encode(data, base(), ID, 9) for name, data in versions().items()}
