"""`tocsin rules test`: the tests inside rule files."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from tocsin.cli.rules_options import ConfigFile, Files, counted, loaded_rules
from tocsin.state.connection import open_store
from tocsin.state.windows_redis import RedisWindows
from tocsin.telemetry import visible
from tocsin.tune.ruletests import Outcome, Run, in_windows, run_cases


def run_tests(
    paths: Files,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Run on this Redis or Valkey as well: redis://… or unix://…"),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Run the tests inside rule files.

    Each rule runs alone, with its default params. Exit code 1 if a test fails.

    Example: tocsin rules test rules/auth0 --store redis://127.0.0.1:6379
    """
    loaded = loaded_rules(paths, config, None)
    outcomes = [*run_cases(loaded)]
    if store is not None:
        with _windows_on(store) as run:
            outcomes += run_cases(loaded, run)
    for outcome in outcomes:
        _tell(outcome)
    failed = sum(not outcome.passed for outcome in outcomes)
    told = f", {failed} failed" if failed else ""
    untested = [rule.rule.name for rule in loaded.ruleset.rules if not loaded.cases.get(rule.rule.id)]
    without = f"; without a test: {', '.join(untested)}" if untested else ""
    typer.echo(f"{counted(len(outcomes), 'test')}{told}{without}", err=True)
    raise typer.Exit(1 if failed else 0)


def _tell(outcome: Outcome) -> None:
    """A failed test: where it stands, and what was different."""
    if outcome.passed:
        return
    case = outcome.case
    typer.echo(visible(f"{case.file}:{case.mark.line}: {outcome.rule}: {case.name}"))
    for mistake in outcome.mistakes:
        typer.echo(visible(f"    {mistake}"))


@contextmanager
def _windows_on(url: str) -> Iterator[Run]:
    """Windows on a server under a random prefix, which is erased before every test and at the end."""
    opened = open_store(url, prefix=f"tocsin-test-{secrets.token_hex(8)}")

    def make() -> RedisWindows:
        opened.erase()
        return RedisWindows(opened)

    try:
        yield in_windows(make)
    finally:
        opened.erase()
        opened.close()
