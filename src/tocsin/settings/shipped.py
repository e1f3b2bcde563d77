"""Where the rules, routes and templates that come with tocsin are."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tocsin.errors import ConfigError

SHIPPED = "shipped"  # in `rules` and `templates`: what comes with tocsin
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


# One attack on Auth0 is told by `auth0`; `ecs` would tell it again, so whoever wants that names it.
_RULE_SETS = ("auth0", "frontegg")


def shipped_rules() -> list[Path]:
    """The folders of the rules that are loaded where nobody says otherwise.

    Raises:
        ConfigError: this installation does not carry them.
    """
    return [shipped("rules") / name for name in _RULE_SETS]


def shipped_place(word: str) -> list[Path] | None:
    """What `shipped`, `shipped/ecs` or `shipped/ecs/NAME.yml` mean as rules; None of any other word.

    Raises:
        ConfigError: this installation does not carry them.
    """
    if word == SHIPPED:
        return shipped_rules()
    place = shipped("rules").joinpath(*word.split("/")[1:])
    return [place] if word.startswith(f"{SHIPPED}/") and place.exists() else None
