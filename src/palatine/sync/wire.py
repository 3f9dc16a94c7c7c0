"""What two hosts say to each other: messages of bounded size over a pair of byte streams.

    u32 length, little-endian | one MessagePack array whose first item names the kind of message

Requests go one way at a time: whoever leads asks, the other answers, an answer in parts ends with
`Done` or `Failed`. A message never holds more than some objects, so memory is bounded by it.
Every message is decoded through a strict schema, and what it says of sizes is not believed.
"""

from __future__ import annotations

import fcntl
import struct
from contextlib import suppress
from typing import IO

import msgspec

from palatine.errors import Malformed, PalatineError, RepositoryError
from palatine.ids import ObjectId

VERSION = 1
"""The version of the protocol; raised when either side must know more to go on."""

MESSAGE_MAX = 20 << 20
"""Bytes in the largest message: the largest object, and room for what is said of it."""

GREETING = b"palatine-sync\n"
"""What `pal serve` writes first: anything else is not palatine (a shell's greeting, say)."""

_NOISE_MAX = 64 << 10

_PIPE = 1 << 20
"""Bytes that a pipe to ssh or from sshd shall hold, what Linux lets every user have.

With the usual 64 KiB both ends sleep and wake for each of them: 548 MB through a pipe took 0.27 s
of a processor at one end and 0.23 s at the other, with this 0.15 s at each.
"""

_LENGTH = struct.Struct("<I")


class Message(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Base of all messages."""


class Hello(Message, tag="hello", frozen=True):
    """Both sides begin with it: the versions that they speak, least and greatest, and who they are.

    The far side says which repository it serves.
    """

    least: int
    greatest: int
    id: str = ""
    digest: str = ""


class Failed(Message, tag="failed", frozen=True):
    """The other side could not do it: the code word, message and hint of its error."""

    code: str
    message: str
    hint: str


class Done(Message, tag="done", frozen=True):
    """The end of an answer in parts, or of what was asked for."""


class AskOffers(Message, tag="offers?", frozen=True):
    """Asks which snapshots may be had."""


class Offers(Message, tag="offers", frozen=True):
    """Snapshots: ids cut short, one after the other; each one's palace (an index), its time, tags.

    `seconds` and `places` are u32, little-endian; `tags` by place in the list. `damaged`
    are names of snapshot files that cannot be read.
    """

    shorts: bytes
    palaces: tuple[str, ...]
    places: bytes
    seconds: bytes
    tags: dict[int, tuple[str, ...]]
    damaged: tuple[str, ...] = ()


class AskLacks(Message, tag="lacks?", frozen=True):
    """Asks which of these the other side lacks."""

    offers: Offers
    named: bool


class Lacks(Message, tag="lacks", frozen=True):
    """The places of those in the list; see `roles.Answer`."""

    lacking: tuple[int, ...]
    forgotten: tuple[int, ...]
    closed: tuple[int, ...]
    untagged: tuple[tuple[int, tuple[str, ...]], ...]


class Tag(Message, tag="tag", frozen=True):
    """Put these tags on snapshots that you have."""

    tags: tuple[tuple[bytes, tuple[str, ...]], ...]


class AskFiles(Message, tag="files?", frozen=True):
    """Send these snapshots' files."""

    shorts: tuple[bytes, ...]


class File(Message, tag="file", frozen=True):
    """A snapshot's file."""

    data: bytes
    tags: tuple[str, ...]


class Receive(Message, tag="receive", frozen=True):
    """Take these snapshots; ask for what you lack until you are done."""

    files: tuple[File, ...]


class Received(Message, tag="received", frozen=True):
    """What came of it; see `roles.Received`."""

    done: tuple[ObjectId, ...]
    failed: tuple[tuple[ObjectId, str], ...]
    objects: int
    added: int


class AskDescribe(Message, tag="describe?", frozen=True):
    """Asks how these objects are stored. Kinds and ids, one after the other, 33 bytes each."""

    wanted: bytes
    deep: bool


class Descriptions(Message, tag="described", frozen=True):
    """Kind, id, size, stored bytes, base and ordinal of each."""

    objects: tuple[tuple[int, ObjectId, int, int, bytes, int], ...]


class AskObjects(Message, tag="objects?", frozen=True):
    """Send these: kinds (+ 128: in full) and ids, one after the other, 33 bytes each."""

    orders: bytes


class Frame(Message, tag="frame", frozen=True):
    """Some objects: the frame's kind, and kind, id, size of each; the rest is as in a pack."""

    kind: int
    members: tuple[tuple[int, ObjectId, int], ...]
    payload: memoryview
    base: bytes
    ordinal: int


class Bye(Message, tag="bye", frozen=True):
    """Nothing more is wanted."""


AnyMessage = (
    Hello | Failed | Done | AskOffers | Offers | AskLacks | Lacks | Tag | AskFiles | File
    | Receive | Received | AskDescribe | Descriptions | AskObjects | Frame | Bye
)  # fmt: skip
_DECODER = msgspec.msgpack.Decoder(AnyMessage)
_ENCODER = msgspec.msgpack.Encoder()


class Channel:
    """Messages over two streams, one for each direction."""

    def __init__(self, source: IO[bytes], sink: IO[bytes], other: str) -> None:
        """`other` is what people call the far side."""
        for stream in (source, sink):
            _widen(stream)
        self._source = source
        self._sink = sink
        self.other = other
        self.read = 0
        self.written = 0
        """Bytes that went each way."""

    def send(self, message: Message) -> None:
        """Send a message now."""
        self.put(message)
        self.flush()

    def put(self, message: Message) -> None:
        """Send a message, with those that follow it."""
        data = _ENCODER.encode(message)
        if len(data) > MESSAGE_MAX:
            raise RepositoryError(f"a message of {len(data)} bytes is too large for {self.other}")
        try:
            self._sink.write(_LENGTH.pack(len(data)))
            self._sink.write(data)
        except (OSError, ValueError) as error:
            raise self._gone() from error
        self.written += _LENGTH.size + len(data)

    def flush(self) -> None:
        """Send off what waits."""
        try:
            self._sink.flush()
        except (OSError, ValueError) as error:
            raise self._gone() from error

    def receive(self) -> AnyMessage:
        """Return the next message; raises Malformed, and RepositoryError when there is none."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > MESSAGE_MAX:
            raise Malformed(f"{self.other} announces a message of {length} bytes")
        data = self._exactly(length)
        try:
            message: AnyMessage = _DECODER.decode(data)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
            raise Malformed(f"{self.other} does not follow the protocol: {error}") from error
        return message

    def greet(self) -> None:
        """Write what tells the other side that palatine is here."""
        self._sink.write(GREETING)
        self.flush()

    def fail(self, message: Failed) -> None:
        """Tell the other side, if it is still there, why this one ends."""
        with suppress(PalatineError):
            self.send(message)

    def await_greeting(self) -> bytes:
        """Read up to the greeting and return what stood before it.

        Raises RepositoryError where it does not come: there is no palatine.
        """
        seen = b""
        while not seen.endswith(GREETING):
            one = self._source.read(1)
            if not one or len(seen) > _NOISE_MAX:
                said = seen.decode(errors="replace").strip().partition("\n")[0][:200]
                raise RepositoryError(
                    f"{self.other} did not answer as palatine does" + (f": {said}" if said else ""),
                    "pal must be installed there and found in the PATH of a non-interactive shell",
                )
            seen += one
        return seen.removesuffix(GREETING)

    def _exactly(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except (OSError, ValueError) as error:
            raise self._gone() from error
        if len(data) < size:
            raise self._gone()
        self.read += size
        return data

    def _gone(self) -> RepositoryError:
        return RepositoryError(
            f"the connection to {self.other} was lost",
            "run it again: what has arrived is not sent again",
        )


def _widen(stream: IO[bytes]) -> None:
    """Have a pipe hold more, where this system can and it is one."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError, ValueError):
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
