"""`tocsin alerts show` of a notice, which is in no list of alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from tocsin.alerts.notice import notice
from tocsin.alerts.render import Renderer
from tocsin.cli import alerts
from tocsin.errors import Error
from tocsin.model.alert import Evidence
from tocsin.state.alerts_memory import MemoryAlerts
from tocsin.state.outbox_memory import MemoryOutbox

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEMPLATES = Path(__file__).parents[3] / "alerts" / "templates"
MISTAKE = "rules/mine.yml:7:5: level: loud is no level"


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(outbox=MemoryOutbox(), alerts=MemoryAlerts(lambda _alert: Evidence()))

    @contextmanager
    def open_state(config: object) -> Iterator[Any]:
        yield made

    monkeypatch.setattr(alerts, "open_state", open_state)
    return made


def told(state: SimpleNamespace, channel_type: str) -> str:
    """Put a notice about refused rules into the outbox; its id."""
    send = notice(
        "tocsin_rules_refused", channel="soc", about="rules", severity="medium",
        title="The changed rules are refused", text=MISTAKE, now=T,
    )  # fmt: skip
    state.outbox.put(Renderer([TEMPLATES]).render(send, channel_type, "soc", T), send.last)
    return send.id


@pytest.mark.parametrize("channel_type", ["console", "slack", "email", "webhook"])
def test_a_notice_says_in_every_channel_what_it_is_about(state: SimpleNamespace, channel_type: str) -> None:
    told(state, channel_type)

    (delivery,) = state.outbox.find()

    assert MISTAKE in json.dumps(delivery.notification.body)


@pytest.mark.parametrize("channel_type", ["console", "slack", "email", "webhook"])
@pytest.mark.parametrize("length", [16, 6])
def test_the_id_of_a_notice_leads_to_what_it_said(
    state: SimpleNamespace, channel_type: str, length: int
) -> None:
    id_ = told(state, channel_type)

    result = CliRunner().invoke(alerts.app, ["show", id_[:length]])

    assert result.exit_code == 0, result.output
    assert "notice of tocsin about itself" in result.output
    assert "The changed rules are refused" in result.output
    assert "soc" in result.output.splitlines()[-1]
    if channel_type != "slack":
        assert MISTAKE in result.output


def test_an_id_that_neither_an_alert_nor_a_notice_has_is_told(state: SimpleNamespace) -> None:
    told(state, "console")

    result = CliRunner().invoke(alerts.app, ["show", "zz"])

    assert isinstance(result.exception, Error)
    assert 'no alert has the id "zz"' in str(result.exception)
