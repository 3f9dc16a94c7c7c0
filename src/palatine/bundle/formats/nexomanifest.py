"""The manifest of a nexo bundle, and what it lets one verify of the files in it."""

from __future__ import annotations

import hashlib

import msgspec

from palatine.bundle.formats.base import MANIFEST_MAX, parsed, too_new
from palatine.bundle.tar.read import Member
from palatine.errors import Damaged, Malformed
from palatine.layouts.nexo import Nexo as Layout
from palatine.model.snapshot import TIME_MAX_US

KINDS = {
    f"sqlite_{name}": f"sqlite/{name}.sqlite"
    for name in ("long_term", "vector", "concepts", "compactions")
}
"""Databases: the kind of each, and its one path in a bundle, in the tool's order."""
STATES = {
    "state_extract_cursor": "state/extract_cursor.json",
    "state_dream_run": "state/dream_run.json",
}
_PREFIXES = {"memory_file": "memory_files/", "git_bundle": "git/"}
_SCHEMA = 1
_TIME_MAX_MS = TIME_MAX_US // 1000
_SKIP = "--skip-verify takes it as it is"


class Artifact(msgspec.Struct):
    """One file that the manifest lists."""

    path_in_bundle: str
    kind: str
    sha256: str
    size_bytes: int | None = None


class Manifest(msgspec.Struct):
    """What is needed of a manifest; all else may be missing."""

    agent_id: str
    tenant: str
    artifacts: list[Artifact]
    bundle_sha256: str
    schema_versions: dict[str, int] = {}
    created_at_ms: int | None = None
    created_by: str = ""
    label: str | None = None


def read_manifest(member: Member) -> Manifest:
    """Return the manifest in a member; raises Malformed, and Refused for a later version."""
    if member.size > MANIFEST_MAX:
        raise Malformed("the bundle's manifest.json is too large for one")
    data = b"".join(iter(member.read, b""))
    manifest = parsed(data, Manifest, "the bundle's manifest.json")
    if manifest.created_at_ms is not None and not 0 <= manifest.created_at_ms <= _TIME_MAX_MS:
        manifest.created_at_ms = None
    for name, version in manifest.schema_versions.items():
        if version > _SCHEMA:
            raise too_new(f"the bundle's schema version of {name}", version, _SCHEMA)
    return manifest


def check_names(manifest: Manifest) -> None:
    """Raise Malformed for an agent or a tenant that nexo would not take."""
    for what, name in (("agent_id", manifest.agent_id), ("tenant", manifest.tenant)):
        if (wrong := Layout().against_name(name)) is not None:
            raise Malformed(f"the bundle's {what} {name!r} is none: it has to be {wrong}")


def verify(manifest: Manifest, digests: dict[str, tuple[int, str]]) -> None:
    """Compare what was unpacked with the manifest, and the manifest with its seal."""
    listed: set[str] = set()
    for one in manifest.artifacts:
        path = one.path_in_bundle
        fixed = (KINDS | STATES).get(one.kind)
        if path in listed or not (
            path == fixed or (fixed is None and path.startswith(_PREFIXES.get(one.kind, "\0")))
        ):
            raise Malformed(f"the manifest lists {path!r} twice, or as what it is not: {one.kind}")
        listed.add(path)
        if path not in digests:
            raise Damaged(f"the bundle lacks {path!r}, which its manifest lists", _SKIP)
        size, digest = digests[path]
        if one.sha256 != digest or one.size_bytes not in (None, size):
            raise Damaged(
                f"{path!r} is not what the manifest says: its SHA-256 is {digest}, not {one.sha256}"
                if one.sha256 != digest
                else f"{path!r} has {size} bytes, the manifest says {one.size_bytes}",
                _SKIP,
            )
    if more := sorted(digests.keys() - listed):
        raise Damaged(f"the bundle holds {more[0]!r}, which its manifest does not list", _SKIP)
    seal = hashlib.sha256("".join(one.sha256 for one in manifest.artifacts).encode())
    if seal.hexdigest() != manifest.bundle_sha256:
        raise Damaged("the manifest's seal is not that of the digests it lists", _SKIP)
