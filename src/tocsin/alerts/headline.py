"""An alert's title: the headline its rule wrote, filled in; the rule's own title if that fails."""

from __future__ import annotations

from functools import lru_cache

import structlog
from jinja2 import Template

from tocsin.alerts.escape import clean
from tocsin.alerts.facts import headline_facts
from tocsin.model.alert import Alert
from tocsin.sandbox import TemplateFailure, compile_template, render

LONGEST_TITLE = 300
log = structlog.get_logger()


def title(alert: Alert) -> str:
    """One clean line. Never fails: a wrong headline is logged, once, and the rule's title stands in."""
    source = alert.annotations.get("headline", "")
    otherwise = clean(alert.annotations.get("rule_title", "") or alert.rule, LONGEST_TITLE)
    if "{" not in source:
        return clean(source, LONGEST_TITLE) or otherwise
    try:
        return clean(render(_compiled(source), headline_facts(alert)), LONGEST_TITLE) or otherwise
    except TemplateFailure as exc:
        _tell_once(alert.rule, source, str(exc))
        return otherwise


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Template:
    return compile_template(source)


@lru_cache(maxsize=1024)
def _tell_once(rule: str, source: str, error: str) -> None:
    log.warning("headline.failed", rule=rule, headline=source, error=error)
