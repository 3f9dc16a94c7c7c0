"""A line with a latency, before a port of the loopback: what comes is passed on some time later.

    with slow(port, 0.01) as nearer: ...

As `netem` would do it, which needs a kernel module. It knows nothing of HTTP: only what goes to the
server is held back, by the whole time of a round trip, and the first bytes of a connection by two,
as its handshake would take one. How much is under way is not limited, so a long body takes its
latency once.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator

_PIECE = 256 << 10

_Piece = tuple[float, bytearray, int]


@contextlib.contextmanager
def slow(target: int, seconds: float) -> Iterator[int]:
    """Run a line to a port whose round trips take some seconds more; yield its own port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        threading.Thread(target=_accept, args=(listening, target, seconds), daemon=True).start()
        yield int(listening.getsockname()[1])
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, target: int, seconds: float) -> None:
    while True:
        try:
            near, _ = listening.accept()
        except OSError:
            return
        far = socket.create_connection(("127.0.0.1", target))
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_connection, args=(near, far, seconds), daemon=True).start()


def _connection(near: socket.socket, far: socket.socket, seconds: float) -> None:
    back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
    with near, far:
        back.start()
        _hold_back(near, far, seconds)
        back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    """Move what comes from one socket to the other."""
    data = bytearray(_PIECE)
    with contextlib.suppress(OSError):
        while got := source.recv_into(data):
            sink.sendall(memoryview(data)[:got])
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _hold_back(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    """Move what comes from one socket to the other, `seconds` later."""
    under_way: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
    free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
    sender = threading.Thread(target=_send, args=(sink, under_way, free, source), daemon=True)
    sender.start()
    waits = 2 * seconds
    with contextlib.suppress(OSError):
        while True:
            data = bytearray(_PIECE) if free.empty() else free.get()
            got = source.recv_into(data)
            if not got:
                break
            under_way.put((time.monotonic() + waits, data, got))
            waits = seconds
    under_way.put((0.0, bytearray(), 0))
    sender.join()


def _send(
    sink: socket.socket,
    under_way: queue.SimpleQueue[_Piece],
    free: queue.SimpleQueue[bytearray],
    source: socket.socket,
) -> None:
    try:
        while True:
            due, data, size = under_way.get()
            if not size:
                break
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            sink.sendall(memoryview(data)[:size])
            free.put(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)  # else it would wait for an answer
