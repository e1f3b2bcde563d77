"""`tocsin rules docs` and `schema`: rules as a page for people, and their grammar for editors."""

from __future__ import annotations

import msgspec
import typer

from tocsin.cli.rules_options import OverlayFile, Paths, SiteConfig, site_rules
from tocsin.rules.tools.catalogue import markdown
from tocsin.rules.tools.schema import rule_schema


def docs(paths: Paths = None, overlay: OverlayFile = None, config: SiteConfig = None) -> None:
    """The rules as a Markdown catalogue.

    Grouped by the label category: what each finds, its params, what to do.

    Example: tocsin rules docs rules/ > docs/rules-catalogue.md
    """
    typer.echo(markdown(site_rules(paths, config, overlay).made), nl=False)


def schema() -> None:
    """The JSON Schema of a rule file, for editors.

    Save it, and begin a rule with: # yaml-language-server: $schema=PATH

    Example: tocsin rules schema > rule.schema.json
    """
    typer.echo(msgspec.json.format(msgspec.json.encode(rule_schema()), indent=2).decode())
