"""What the commands of `tocsin rules` take: files, the site's overlay and config, a format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tocsin.enrichment import open_databases
from tocsin.errors import Error
from tocsin.model.place import Locator
from tocsin.rules.load import Loaded, load
from tocsin.rules.problems import nearest

Files = Annotated[list[Path], typer.Argument(metavar="PATH", help="Rule files or folders.")]
Paths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="PATH", help="Rule files or folders; shipped, shipped/ecs [default: shipped]."),
]
OverlayFile = Annotated[
    Path | None, typer.Option("--overlay", metavar="FILE", help="The site's overlay of the rules.")
]
SiteConfig = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Take rules, overlay, lists, trusted_rules, geo from here."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Take lists, trusted_rules and geo from this config."),
]


class Format(StrEnum):
    """How a list is written."""

    text = "text"
    json = "json"


OutputFormat = Annotated[
    Format, typer.Option("--format", help="A table (piped: tab-separated lines), or JSON.")
]


def paths_or_shipped(paths: Sequence[Path] | None) -> list[Path]:
    """The files asked for, `shipped/…` among them; those that are shipped where none was."""
    asked = list(paths or [Path("shipped")])
    if not any(map(means_shipped, asked)):
        return asked
    from tocsin.settings import shipped_place  # the settings take longer to import than most files to check

    found = [shipped_place(str(path)) if means_shipped(path) else None for path in asked]
    return [place for path, places in zip(asked, found, strict=True) for place in places or [path]]


def means_shipped(path: Path) -> bool:
    """Whether it is `shipped` or `shipped/…`, as settings write it, and no path that is there."""
    return path.parts[:1] == ("shipped",) and not path.exists()


def unknown_rule(name: str, known: Sequence[str]) -> Error:
    """Nobody is called so: the nearest name, and who shows them all."""
    from tocsin.settings import shipped

    if (shipped("rules") / "ecs" / f"{name}.yml").is_file():
        return Error(f'no rule is called "{name}" here; it is one of shipped/ecs: name shipped/ecs as well')
    near = nearest(name, known)
    hint = f'did you mean "{near}"? ' if near else ""
    return Error(f'no rule is called "{name}"; {hint}`tocsin rules list` shows them all')


def loaded_rules(
    paths: Sequence[Path] | None, config: Path | None = None, overlay: Path | None = None
) -> Loaded:
    """The rules of the files, or the shipped ones; from the config only what the files refer to.

    Raises:
        RuleErrors: the mistakes in them.
        ConfigError: the config is wrong.
    """
    lists: Mapping[str, Path] = {}
    trusted: Sequence[str] = ()
    locator: Locator | None = None
    if config is not None:
        from tocsin.settings import load_settings

        settings = load_settings(config)
        lists, trusted = settings.lists, settings.trusted_rules
        locator = open_databases(settings.geo)
    return load(paths_or_shipped(paths), overlay=overlay, lists=lists, trusted=trusted, locator=locator)


def site_rules(
    paths: Sequence[Path] | None,
    config: Path | None,
    overlay: Path | None,
    *,
    geo: Sequence[Path] = (),
    tried: bytes = b"",
) -> Loaded:
    """The rules as this site runs them: what is not asked for by name is as its config says.

    `geo` are files that say where addresses are; `tried` is the text of an overlay that comes after
    the site's.

    Raises:
        RuleErrors: the mistakes in them.
        ConfigError: the config is wrong.
    """
    if config is None:
        return load(paths_or_shipped(paths), overlay=overlay, locator=open_databases(geo), tried=tried)
    from tocsin.settings import load_settings

    settings = load_settings(config)
    return load(
        paths_or_shipped(paths) if paths else settings.rules,
        overlay=overlay or settings.overlay,
        lists=settings.lists,
        trusted=settings.trusted_rules,
        locator=open_databases(geo or settings.geo),
        tried=tried,
    )


def overlay_of(config: Path | None, overlay: Path | None) -> Path | None:
    """The overlay that `site_rules` takes."""
    if overlay is not None or config is None:
        return overlay
    from tocsin.settings import load_settings

    return load_settings(config).overlay


def counted(count: int, what: str) -> str:
    """`1 rule`, `2 rules`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
