"""`tocsin rules check`: every mistake in rule files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.rules_options import ConfigFile, Files, counted, loaded_rules
from tocsin.errors import RuleErrors


def check(
    paths: Files,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings make the exit code 1, too.")] = False,
    overlay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check the site's overlay with the rules.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Report every mistake in rule files.

    A line each: FILE:LINE:COLUMN: what; how to fix it. Exit code 1 if there is an error.

    Example: tocsin rules check rules/ --overlay overlay.yml
    """
    try:
        loaded = loaded_rules(paths, config, overlay)
    except RuleErrors as exc:
        told = sorted([*exc.errors, *exc.warnings], key=lambda one: (one.file, one.line, one.column))
        _say(map(str, told))
        typer.echo(f"{counted(len(exc.errors), 'error')}; no rule was loaded", err=True)
        raise typer.Exit(1) from exc
    ruleset = loaded.ruleset
    _say(map(str, ruleset.warnings))
    _say(f"{name}: not running: {reason}" for name, reason in ruleset.not_running.items())
    warned = f", {counted(len(ruleset.warnings), 'warning')}" if ruleset.warnings else ""
    typer.echo(f"{counted(len(ruleset.rules), 'rule')} ok{warned}", err=True)
    raise typer.Exit(1 if strict and ruleset.warnings else 0)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        from tocsin.telemetry import visible  # slower to import than to check a few good files

        typer.echo(visible(line))
