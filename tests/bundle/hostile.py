"""What tests of hostile bundles share: that one is refused, and that nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard
from tests.support import Place

from palatine import api
from palatine.bundle.limits import Limits
from palatine.errors import PalatineError
from palatine.ops.intake import Request


def refused(
    place: Place,
    data: bytes,
    *words: str,
    limits: Limits | None = None,
    skip_verify: bool = False,
) -> PalatineError:
    """Assert that no verb takes a bundle, and that nothing outside the repository was written.

    Returns the error of import, whose message has these words.
    """
    file = place.root / "hostile.tar.zst"
    file.write_bytes(data)
    before = _outside(place)
    request = Request(file, limits=limits or Limits(), skip_verify=skip_verify)
    with place.open() as repository:
        with pytest.raises(PalatineError) as caught:
            repository.import_bundle(request)
        assert repository.log() == []
    with pytest.raises(PalatineError) as again:
        api.restore_bundle(request, place.root / "target", cache=place.cache)
    assert again.value.message == caught.value.message
    assert _outside(place) == before
    assert [*(place.cache / "bundles").iterdir()] == []
    for word in words:
        assert word in caught.value.message, caught.value.message
    return caught.value


def zstd(data: bytes) -> bytes:
    """Compress, with a checksum."""
    return zstandard.ZstdCompressor(1, write_checksum=True).compress(data)


def _outside(place: Place) -> set[Path]:
    own = (place.repository, place.cache)
    return {
        path for path in place.root.rglob("*") if not any(path.is_relative_to(one) for one in own)
    }
