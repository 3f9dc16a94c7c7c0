"""The only module that looks at a clock. Pass another `Clock` to make time a test's own."""

from __future__ import annotations

import time


class Clock:
    """The system's clocks. Wall time may jump; monotonic time never does."""

    def now_us(self) -> int:
        """Return wall time, microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def now_ns(self) -> int:
        """Return wall time, nanoseconds since the Unix epoch, as files are stamped."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


SYSTEM = Clock()
"""The real clocks."""
