"""What `alerts show` and `replay` say of an alert, beyond what every alert has."""

from __future__ import annotations

import json

import pytest

from tocsin.cli.lines import print_alert, print_json
from tocsin.model.alert import Alert


def alert(*, warming: bool) -> Alert:
    return Alert(
        id="0" * 16, fingerprint="f" * 16, tenant="acme", rule="guessing", rule_id="1", severity="high",
        started_ms=0, last_ms=0, score=5, warming=warming,
    )  # fmt: skip


@pytest.mark.parametrize("warming", [True, False])
def test_a_warming_alert_says_so(capsys: pytest.CaptureFixture[str], warming: bool) -> None:
    print_alert(alert(warming=warming))
    text = capsys.readouterr().out
    print_json(alert(warming=warming))
    record = json.loads(capsys.readouterr().out)

    assert ("note\twarming: counted only since its rule was added or changed" in text) is warming
    assert record.get("warming", False) is warming
