"""What people write for a place, and what it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from palatine.backends.local import LocalBackend
from palatine.backends.urls import Url, backend_at, is_url, parse
from palatine.errors import RepositoryError, UsageError


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("s3://bucket", Url("s3", "bucket", "")),
        ("s3://bucket/", Url("s3", "bucket", "")),
        ("S3://bucket/a/b.c_d-e/", Url("s3", "bucket", "a/b.c_d-e")),
        ("gs://my.bucket/x", Url("gs", "my.bucket", "x")),
        ("az://container/x=1/y+z", Url("az", "container", "x=1/y+z")),
    ],
)
def test_places_in_object_stores(written: str, url: Url) -> None:
    assert is_url(written)
    assert parse(written) == url
    assert parse(str(url)) == url
    assert backend_at(f"s3://{url.bucket}/x").location == f"s3://{url.bucket}/x"


@pytest.mark.parametrize(
    "written",
    [
        "s3://", "s3:///x", "s3://b/x", "s3://bucket//x", "s3://bucket/../x", "s3://bucket/./x",
        "s3://bucket/a b", "s3://bucket/a%2fb", "s3://bucket/x?y=z", "s3://bucket/x#y",
        "s3://key:secret@bucket/x", "s3://bucket/x\ny", "http://host/x", "file:///x", "ssh://h/x",
    ],
)  # fmt: skip
def test_what_is_no_place(written: str) -> None:
    assert is_url(written)
    with pytest.raises(UsageError) as caught:
        parse(written)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("written", ["", "/a/b", "s3:/bucket", "a:b", "./s3://x", "~/x"])
def test_paths_are_no_urls(written: str) -> None:
    assert not is_url(written)


def test_a_path_is_a_directory(tmp_path: Path) -> None:
    backend = backend_at(tmp_path)
    assert isinstance(backend, LocalBackend)
    assert backend.directory == tmp_path
    assert backend_at("s3://bucket/x").directory is None


def test_settings_that_cannot_be_used_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "perhaps")
    with pytest.raises(RepositoryError, match="cannot be used"):
        backend_at("s3://bucket/x")
