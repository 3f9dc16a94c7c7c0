"""Both ways of holding databases still, for the tests that ask for it."""

from __future__ import annotations

import pytest

from palatine.sqlite import ofd


@pytest.fixture(params=["locks", "connections"])
def pins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How databases are held still: by locks, or as on a system without locks of open files."""
    if request.param == "locks" and not ofd.AVAILABLE:
        pytest.skip("this system has no open-file-description locks")
    monkeypatch.setattr(ofd, "AVAILABLE", request.param == "locks")
    return str(request.param)
