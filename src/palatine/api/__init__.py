"""What `import palatine` offers: a repository with a method for each verb.

    import palatine

    with palatine.open_repository("~/memory-repository") as repository:
        done = repository.snapshot("~/.local/share/trusty-memory/palaces/alpha")
        for stored in repository.log("alpha"):
            print(stored.id.hex(), stored.snapshot.stats.size)
        repository.restore("alpha~1", "alpha-as-it-was")

Everything raises `palatine.PalatineError` and nothing else on purpose; see `palatine.errors`.
"""

from palatine.api.bundles import restore_bundle, verify_bundle
from palatine.api.opening import ORIGIN, clone, discover, init, open_repository
from palatine.api.places import PathLike, locate
from palatine.api.repository import Repository
from palatine.ops.defaults import (
    default_cache,
    default_configuration,
    default_remotes,
    default_repository,
)

__all__ = [
    "ORIGIN",
    "PathLike",
    "Repository",
    "clone",
    "default_cache",
    "default_configuration",
    "default_remotes",
    "default_repository",
    "discover",
    "init",
    "locate",
    "open_repository",
    "restore_bundle",
    "verify_bundle",
]
