"""The doors of the settings become sources that decode what comes through each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tocsin.app import _sources
from tocsin.model.compiled import RuleSet
from tocsin.settings import Settings, SourceSettings

WHEN = "2025-03-01T00:00:00Z"


class OneBody:
    """An inbox that holds one body."""

    def __init__(self, body: Any) -> None:
        self.body = json.dumps(body).encode()

    def read(self, source: str, after: str | None, *, block_ms: int, count: int) -> Sequence[Any]:
        del source, block_ms, count
        return [] if after else [("1-0", self.body, 1_800_000_000_000)]

    def trim(self, source: str, upto: str) -> None:
        del source, upto


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        (
            "auth0_stream",
            [{"log_id": "1", "data": {"log_id": "1", "date": WHEN, "type": "fp", "tenant_name": "acme"}}],
            ("auth0", "fp", "acme"),
        ),
        (
            "ecs_stream",
            [{"@timestamp": WHEN, "event": {"id": "1", "code": "4625"}, "organization": {"id": "acme"}}],
            ("ecs", "", "acme"),
        ),
    ],
)
def test_a_door_decodes_what_its_type_says(kind: Any, body: Any, told: tuple[str, str, str]) -> None:
    settings = Settings(sources={"door": SourceSettings(type=kind)})

    [source] = _sources(settings, RuleSet(()), OneBody(body))  # type: ignore[arg-type]
    [event] = next(iter(source.read(None))).events

    assert (event.provider, event.code, event.tenant, event.id) == (*told, "1")
