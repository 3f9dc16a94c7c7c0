"""A proxy between us and the S3 server that does to requests what networks and services do.

    with faulty(server) as proxy:
        proxy.script("PUT", "snapshots/", Fault.LOSE)     # carried out, and the reply lost, once

Requests are passed on as they came, `Host` included, so that their signatures hold.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Fault(enum.Enum):
    """What happens to a request."""

    DROP = "the connection ends before the request is passed on"
    LOSE = "the request is carried out and the connection ends without a reply"
    CUT = "the connection ends in the middle of the reply's body"
    SHORT = "half of the body comes, as if that was all of it"
    BUSY = "503 SlowDown"
    CONFLICT = "409 ConditionalRequestConflict"
    FULL = "507 InsufficientStorage"
    SKEWED = "403 RequestTimeTooSkewed"
    STRANGER = "404 of somebody who is not the store"
    STALE = "the reply that the first request of this kind got"


_REPLIES = {
    Fault.BUSY: (503, "SlowDown"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.FULL: (507, "InsufficientStorage"),
    Fault.SKEWED: (403, "RequestTimeTooSkewed"),
    Fault.STRANGER: (404, ""),
}


@dataclass
class Reply:
    """What the server answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class _Scripted:
    method: str
    part: str
    fault: Fault
    left: int


@dataclass
class Proxy:
    """What passes through, and what was told to go wrong."""

    target: int
    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies, in both directions."""
    delay: Callable[[], None] = field(default=lambda: None)
    before: Callable[[str, str, dict[str, str]], None] = field(default=lambda *_: None)
    """Called with method, path and headers before a request is passed on."""
    _script: list[_Scripted] = field(default_factory=list)
    _first: dict[tuple[str, str], Reply] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, method: str, part: str, fault: Fault, times: int = 1) -> None:
        """Let the next requests of a method whose path contains `part` go wrong."""
        self._script.append(_Scripted(method, part, fault, times))

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._script.clear()

    @property
    def struck(self) -> bool:
        """Whether everything that was scripted has happened."""
        return not self._script

    def count(self) -> Counter[str]:
        """Return how many requests of each method came."""
        return Counter(method for method, _ in self.requests)

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Note a request, and return what is to happen to it."""
        with self._lock:
            self.requests.append((method, path))
            for one in self._script:
                if one.method == method and one.part in path:
                    one.left -= 1
                    if not one.left:
                        self._script.remove(one)
                    return one.fault
        return None

    def remember(self, method: str, path: str, reply: Reply) -> Reply:
        """Keep the first reply to a request; return it."""
        with self._lock:
            return self._first.setdefault((method, path), reply)


@contextlib.contextmanager
def faulty(target: int) -> Iterator[Proxy]:
    """Run a proxy before a port of the loopback."""
    proxy = Proxy(target)

    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = proxy.fault_for(self.command, self.path)
        proxy.delay()
        if fault is Fault.DROP:
            self._hang_up()
            return
        if fault in _REPLIES:
            status, code = _REPLIES[fault]
            told = f"<Error><Code>{code}</Code></Error>".encode() if code else b"<html>?</html>"
            self._answer(Reply(status, [("Content-Type", "application/xml")], told), 1.0)
            return
        reply = self._pass_on(body)
        if fault is Fault.LOSE:
            self._hang_up()
            return
        if self.command == "GET":
            first = proxy.remember(self.command, self.path, reply)
            reply = first if fault is Fault.STALE else reply
        if fault is Fault.SHORT:
            reply = Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2])
        proxy.sent += len(body) + len(reply.body)
        self._answer(reply, 0.5 if fault is Fault.CUT else 1.0)

    def _pass_on(self, body: bytes) -> Reply:
        self.proxy.before(self.command, self.path, dict(self.headers.items()))
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            got = connection.getresponse()
            headers = [one for one in got.getheaders() if one[0].lower() not in _HOP]
            return Reply(got.status, headers, got.read())
        finally:
            connection.close()

    def _answer(self, reply: Reply, share: float) -> None:
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: int(len(reply.body) * share)])
        if share < 1:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle
