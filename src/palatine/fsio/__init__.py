"""Durable writes to the local file system: the one place that syncs, links and renames.

A file appears under its name only when all its bytes, and the name itself, are on disk. On Linux a
new file has no name at all until then (O_TMPFILE), so a killed process leaves nothing behind.
"""

from palatine.fsio.durable import (
    DIRECTORY_MODE,
    begin_writeback,
    make_directories,
    opened,
    sync_data,
    sync_directory,
    sync_file_system,
)
from palatine.fsio.locks import is_locked, locked_directory, try_lock_file
from palatine.fsio.names import (
    exchange,
    exists_at,
    hard_link,
    hard_link_to,
    remove,
    remove_all,
    rename,
    rename_at,
    rename_directory,
    touch_all,
)
from palatine.fsio.newfile import (
    FILE_MODE,
    TEMPORARY_PREFIX,
    NewFile,
    clone,
    replace,
    time_at,
    write_new,
)
from palatine.fsio.trees import remove_tree

__all__ = [
    "DIRECTORY_MODE",
    "FILE_MODE",
    "TEMPORARY_PREFIX",
    "NewFile",
    "begin_writeback",
    "clone",
    "exchange",
    "exists_at",
    "hard_link",
    "hard_link_to",
    "is_locked",
    "locked_directory",
    "make_directories",
    "opened",
    "remove",
    "remove_all",
    "remove_tree",
    "rename",
    "rename_at",
    "rename_directory",
    "replace",
    "sync_data",
    "sync_directory",
    "sync_file_system",
    "time_at",
    "touch_all",
    "try_lock_file",
    "write_new",
]
