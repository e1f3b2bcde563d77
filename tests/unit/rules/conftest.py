"""Rule texts to rule sets, and vendor records to the events that such a rule set reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

from tocsin.catalog.provider import PROVIDERS
from tocsin.errors import RuleErrors
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event, event_type
from tocsin.rules.load import load_rules


def made_event(ruleset: RuleSet, record: Mapping[str, Any], provider: str = "auth0") -> Event:
    """An event as the decoder makes it."""
    raw = json.dumps(record).encode()
    event = msgspec.json.decode(raw, type=event_type(ruleset.fields))
    code = record.get(PROVIDERS[provider].code_field)
    event.provider, event.raw, event.parsed = provider, raw, None
    event.code = code if isinstance(code, str) else "" if code is None else str(code)
    return event


def does_match(ruleset: RuleSet, record: Mapping[str, Any], provider: str = "auth0") -> bool:
    """Whether the only rule's only matcher matches, by codes and closure as the engine does."""
    (rule,) = ruleset.rules
    (matcher,) = rule.matchers
    event = made_event(ruleset, record, provider)
    if matcher.product not in ("", provider) or (
        matcher.codes is not None and event.code not in matcher.codes
    ):
        return False
    return matcher.matches is None or matcher.matches(event)


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[..., RuleSet]:
    """Loads one file of this text; keyword arguments go to `load_rules`."""

    def load(text: str, **options: Any) -> RuleSet:
        file = tmp_path / "rule.yml"
        file.write_text(dedent(text))
        return load_rules([file], **options)

    return load


@pytest.fixture
def mistakes(tmp_path: Path, load_text: Callable[..., RuleSet]) -> Callable[..., list[str]]:
    """The messages of a load that fails, without the folder."""

    def told(text: str, **options: Any) -> list[str]:
        with pytest.raises(RuleErrors) as caught:
            load_text(text, **options)
        return [str(error).replace(f"{tmp_path.as_posix()}/", "") for error in caught.value.errors]

    return told


@pytest.fixture
def detects(load_text: Callable[..., RuleSet]) -> Callable[..., bool]:
    """Whether a rule of these selections (a YAML flow text) and this condition matches a record."""

    def detect(selections: str, record: Mapping[str, Any], condition: str = "s", **options: Any) -> bool:
        head = "title: t\nlogsource: {product: auth0}\ndetection:\n"
        text = f"{head}{_indented(selections)}    condition: {condition}\n"
        return does_match(load_text(text, **options), record)

    return detect


def _indented(selections: str) -> str:
    return "".join(f"    {line}\n" for line in dedent(selections).strip().splitlines())
