"""The backends' contract, held by an object store: a real S3 server."""

from __future__ import annotations

import pytest
from tests.s3.server import Server

from palatine.backends.base import Backend
from palatine.backends.urls import object_backend, parse
from palatine.testing.conformance import BackendContract


class TestObjectBackend(BackendContract):
    @pytest.fixture
    def backend(self, s3: Server, bucket: str) -> Backend:
        return object_backend(parse(f"s3://{bucket}/some/prefix"), s3.settings)

    @pytest.fixture
    def second(self, s3: Server, bucket: str) -> Backend:
        return object_backend(parse(f"s3://{bucket}/some/prefix"), s3.settings)


class TestObjectBackendAtTheRoot(BackendContract):
    @pytest.fixture
    def backend(self, s3: Server, bucket: str) -> Backend:
        return object_backend(parse(f"s3://{bucket}"), s3.settings)
