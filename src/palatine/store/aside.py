"""Setting files of a repository aside: what is damaged is kept under `damaged/`, never destroyed.

    damaged/NAME.DIGEST     the bytes that the file NAME had; their digest begins so

Nobody reads there but repair, and gc --erase empties it. Users may delete what lies there.
"""

from __future__ import annotations

from palatine.errors import NotFound
from palatine.model.names import pack_name
from palatine.store.index import PACKS, is_pack_name
from palatine.store.repository import Repository

DAMAGED = "damaged/"
_BLOCK = 1 << 20
_DIGITS = 16


def set_aside(repository: Repository, name: str) -> str | None:
    """Keep the bytes of a file that is about to go; return under which name.

    None when the file is not there. Repeating it is no error: equal bytes have one name.
    """
    backend = repository.backend
    hasher = repository.digest.stream()
    try:
        with backend.upload() as upload:
            while data := backend.read(name, upload.size, _BLOCK):
                upload.write(data)
                hasher.update(data)
            target = f"{DAMAGED}{name}.{hasher.digest().hex()[:_DIGITS]}"
            if not _is_there(repository, target):
                upload.commit(target)
    except NotFound:
        return None
    return target


def packs_aside(repository: Repository) -> dict[bytes, str]:
    """Return the packs that were set aside, with their names under `damaged/`."""
    listed = repository.index.listed()
    found = {}
    for stat in repository.backend.list(DAMAGED + PACKS):
        name = stat.name.removeprefix(DAMAGED).rpartition(".")[0]
        if is_pack_name(name) and bytes.fromhex(name[-64:]) not in listed:
            found[bytes.fromhex(name[-64:])] = stat.name
    return found


def put_back(repository: Repository, packs: dict[bytes, str]) -> None:
    """Put packs back that were set aside; they must have been condemned and waited for."""
    for pack, name in packs.items():
        with repository.backend.upload() as upload:
            while data := repository.backend.read(name, upload.size, _BLOCK):
                upload.write(data)
            upload.commit(pack_name(pack))


def _is_there(repository: Repository, name: str) -> bool:
    folder = name[: name.rindex("/") + 1]
    return any(stat.name == name for stat in repository.backend.list(folder))
