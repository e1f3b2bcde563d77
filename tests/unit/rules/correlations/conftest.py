"""Rules of shorthand types, loaded and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tocsin.errors import RuleErrors
from tocsin.model.compiled import RuleSet

from .shorthand import BASE_MS, Told, replayed


@pytest.fixture
def told(load_text: Callable[..., RuleSet]) -> Told:
    """The messages of a load that fails, without their places."""

    def messages(text: str) -> list[str]:
        with pytest.raises(RuleErrors) as caught:
            load_text(text)
        return [error.message for error in caught.value.errors]

    return messages


@pytest.fixture
def alerts(load_text: Callable[..., RuleSet]) -> Callable[..., Sequence[tuple[int, float]]]:
    """(second, score) of the alerts that a rule makes of records."""

    def of(text: str, records: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
        found = replayed(load_text(text), records)
        return [((alert.started_ms - BASE_MS) // 1000, alert.score) for alert in found]

    return of


@pytest.fixture
def evidence(load_text: Callable[..., RuleSet]) -> Callable[..., dict[str, list[str]]]:
    """The values that the only alert of a rule shows, sorted."""

    def of(text: str, records: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
        (alert,) = replayed(load_text(text), records)
        return {
            name: sorted(value.text for value in values) for name, values in alert.evidence.values.items()
        }

    return of
