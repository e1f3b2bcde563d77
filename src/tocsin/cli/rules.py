"""`tocsin rules`: its commands, of which `check` and `test` judge rule files."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.rules_explain import explain
from tocsin.cli.rules_export import export
from tocsin.cli.rules_lists import coverage, list_, params
from tocsin.cli.rules_options import ConfigFile, loaded_rules
from tocsin.cli.rules_pages import docs, schema
from tocsin.errors import RuleErrors
from tocsin.state.connection import open_store
from tocsin.state.windows_redis import RedisWindows
from tocsin.telemetry import visible
from tocsin.tune.ruletests import Outcome, Run, in_windows, run_cases

app = typer.Typer(help="Check, test, explain and list rules.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Rule files or folders.")]


@app.command()
def check(
    paths: Paths,
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
        for mistake in told:
            typer.echo(visible(str(mistake)))
        typer.echo(f"{_counted(len(exc.errors), 'error')}; no rule was loaded", err=True)
        raise typer.Exit(1) from exc
    ruleset = loaded.ruleset
    for warning in ruleset.warnings:
        typer.echo(visible(str(warning)))
    for name, reason in ruleset.not_running.items():
        typer.echo(visible(f"{name}: not running: {reason}"))
    warned = f", {_counted(len(ruleset.warnings), 'warning')}" if ruleset.warnings else ""
    typer.echo(f"{_counted(len(ruleset.rules), 'rule')} ok{warned}", err=True)
    raise typer.Exit(1 if strict and ruleset.warnings else 0)


@app.command("test")
def run_tests(
    paths: Paths,
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
    typer.echo(f"{_counted(len(outcomes), 'test')}{told}{without}", err=True)
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


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# After `check` and `test`, which people meet first.
app.command("list")(list_)
app.command("explain")(explain)
app.command("params")(params)
app.command("coverage")(coverage)
app.command("export")(export)
app.command("docs")(docs)
app.command("schema")(schema)
