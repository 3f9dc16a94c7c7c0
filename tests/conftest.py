"""Fixtures for all tests, the torture switch, and the rule that a skip is an error where CI is."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from tests.support import TORTURE, Place

_CALM = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
settings.register_profile(
    "test",
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=_CALM,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.register_profile(
    "torture", max_examples=500, deadline=None, suppress_health_check=_CALM, print_blob=True
)
settings.load_profile("torture" if TORTURE else "test")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where CI is set: green shall mean tested."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = call.excinfo.value if call.excinfo else "no reason given"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {reason}"
    return report


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty palace beside an empty repository, with a cache of their own."""
    return Place(tmp_path)


@pytest.fixture(params=["blake3", "sha256"])
def place_of_either_digest(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty palace beside an empty repository of each digest."""
    return Place(tmp_path, request.param)
