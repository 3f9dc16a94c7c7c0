"""The shipped contract, held against the shipped backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from palatine.backends.base import Backend
from palatine.backends.local import LocalBackend
from palatine.backends.memory import MemoryBackend
from palatine.testing.conformance import BackendContract
from palatine.testing.faulty import FaultyBackend


class TestLocalBackend(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return LocalBackend(tmp_path / "repository")

    @pytest.fixture
    def second(self, tmp_path: Path) -> Backend:
        return LocalBackend(tmp_path / "repository")


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend()


class TestMemoryBackendAsTwoHosts(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return MemoryBackend()

    @pytest.fixture
    def second(self, backend: Backend) -> Backend:
        assert isinstance(backend, MemoryBackend)
        return MemoryBackend(backend.files)


class TestFaultyBackendWithoutFaults(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        return FaultyBackend(MemoryBackend())
