"""What the client of Azure says where others have a status and a word: taken down from Azurite."""

from __future__ import annotations

import obstore
import pytest
from obstore.exceptions import GenericError

from palatine.backends.base import Backend
from palatine.backends.urls import object_backend, parse
from palatine.errors import RepositoryError
from palatine.testing.builders import FakeClock

BEYOND = (
    "Generic MicrosoftAzure error: Wanted range starting at 5, but object was only 5 bytes long"
    """

Debug source:
Generic {
    store: "MicrosoftAzure",
    source: InvalidRangeRequest {
        source: StartTooLarge {
            requested: 5,
            length: 5,
        },
    },
}"""
)
NO_BLOB = (
    "Object at location one/name not found: Bulk delete request failed for key one/name:"
    " The specified blob does not exist. (code: 404)"
)
NO_CONTAINER = (
    "Object at location one/name not found: Bulk delete request failed for key one/name:"
    " The specified container does not exist. (code: 404)"
)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "nobody")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "bm9ib2R5")
    return object_backend(parse("az://container/one"), {}, FakeClock())


def refuse(monkeypatch: pytest.MonkeyPatch, request: str, error: Exception) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(obstore, request, refused)


def test_a_range_behind_the_end_is_empty(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "get", GenericError(BEYOND))
    assert backend.read("name", 5, 1) == b""


def test_a_failure_is_no_empty_range_whatever_the_path(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(
        monkeypatch, "get", GenericError("Error performing GET .../StartTooLarge/name: no route")
    )
    with pytest.raises(RepositoryError):
        backend.read("name", 5, 1)


def test_a_name_that_is_not_there_is_deleted(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "delete", FileNotFoundError(NO_BLOB))
    backend.delete("name")


def test_a_container_that_is_not_there_is_told(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "delete", FileNotFoundError(NO_CONTAINER))
    with pytest.raises(RepositoryError):
        backend.delete("name")
