"""Where the rules, routes and templates that come with tocsin are."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tocsin.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def shipped(name: str) -> Path:
    """`rules` or `alerts`, as installed; in a checkout the folder of that name at its top.

    Raises:
        ConfigError: this installation does not carry it.
    """
    for place in (_PACKAGE / "_data" / name, _PACKAGE.parent.parent / name):
        if place.is_dir():
            return place
    raise ConfigError(f"this installation has no {name}/ folder; install tocsin again")
