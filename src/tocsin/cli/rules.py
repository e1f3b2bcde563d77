"""`tocsin rules`: its commands."""

from __future__ import annotations

import typer

from tocsin.cli.on_demand import OnDemand, Place


class _Commands(OnDemand):
    """`check` and `test`, which people meet first, then the others."""

    places = {  # noqa: RUF012 - it is never changed
        "check": Place("tocsin.cli.rules_check:check", "Report every mistake in rule files."),
        "test": Place("tocsin.cli.rules_test:run_tests", "Run the tests inside rule files."),
        "list": Place("tocsin.cli.rules_lists:list_", "The rules: how bad, how they count, what they need."),
        "explain": Place(
            "tocsin.cli.rules_explain:explain", "One rule taken apart; with an event: what matched."
        ),
        "params": Place(
            "tocsin.cli.rules_lists:params", "The rules' params: values, bounds, and where each was set."
        ),
        "coverage": Place(
            "tocsin.cli.rules_lists:coverage", "ATT&CK techniques and event codes: covered and not."
        ),
        "export": Place("tocsin.cli.rules_export:export", "Rules in pure Sigma, for other tools."),
        "docs": Place("tocsin.cli.rules_pages:docs", "The rules as a Markdown catalogue."),
        "schema": Place("tocsin.cli.rules_pages:schema", "The JSON Schema of a rule file, for editors."),
    }


app = typer.Typer(cls=_Commands, help="Check, test, explain and list rules.", no_args_is_help=True)
app.callback()(lambda: None)
