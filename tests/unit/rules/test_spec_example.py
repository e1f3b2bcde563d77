"""The example of the rule language's own page: every key of it means what its comment says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tocsin.alerts.headline import title
from tocsin.clock import iso
from tocsin.model.alert import Change, ChangeKind
from tocsin.protocols import Batch
from tocsin.rules.load import Loaded, load
from tocsin.sources.decode import Decoder
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import replay
from tocsin.tune.ruletests import run_cases

EXAMPLE = """\
title: Many failed logins from one IP
id: 0b3c1a52-6f0e-4b0e-9d65-0d2b7a1c9a11
status: stable
logsource: {product: auth0}
detection:
    failed: {data.type: [fp, fu]}
    ours: {data.ip|cidr: 192.0.2.0/24}
    condition: failed and not ours
level: high
tags: [attack.credential-access, attack.t1110.003]
falsepositives: [an office or carrier NAT]
tocsin:
    params:
        threshold: {default: 20, min: 2, help: failures from one IP}
        window: {default: 10m}
    correlate:
        type: event_count
        group-by: [data.ip]
        timespan: $window
        condition: {gte: $threshold}
    alert:
        title: '{{ score }} failed logins from {{ group["data.ip"] }} in {{ timespan }}'
        severity: [{gte: 200, is: critical}]
        resolve_after: 10m
        for: 0s
        labels: {team: identity}
        runbook: https://wiki.example.com/runbooks/failed-logins
        context: [data.user_name, data.user_agent, data.client_name]
    tests:
        - name: twenty in ten minutes is one alert
          events: [{at: 0s, repeat: 25, every: 20s, type: fp, ip: 203.0.113.9, user_name: 'u{n}@example.com'}]
          expect: [{at: 380s, group: {data.ip: 203.0.113.9}, score: 20, severity: high}]
        - name: the same number, too slow
          events: [{at: 0s, repeat: 25, every: 40s, type: fu, ip: 203.0.113.9}]
          expect: []
"""
BASE_MS = 1_700_000_000_000


@pytest.fixture
def example(tmp_path: Path) -> Loaded:
    file = tmp_path / "example.yml"
    file.write_text(EXAMPLE)
    return load([file])


def _told(loaded: Loaded, times_s: Sequence[int], ip: str = "203.0.113.9") -> list[Change]:
    records = [
        {
            "log_id": f"id{number}",
            "date": iso(BASE_MS + at_s * 1_000),
            "tenant_name": "acme",
            "type": "fp",
            "ip": ip,
            "user_name": f"u{number % 3}@example.com",
        }
        for number, at_s in enumerate(times_s)
    ]
    lines = b"\n".join(map(msgspec.json.encode, records))
    events, bad = Decoder(loaded.ruleset.fields).decode_lines(lines, first_line=1, now_ms=None)
    assert not bad
    batch = [Batch(events, "end")]
    return list(replay(loaded.ruleset, batch, windows=MemoryWindows(), lateness=timedelta(seconds=60)))


def test_the_example_of_the_specification_loads_without_a_word_and_passes_its_tests(example: Loaded) -> None:
    assert example.ruleset.warnings == ()
    assert [outcome.mistakes for outcome in run_cases(example)] == [(), ()]


def test_its_alert_carries_title_labels_runbook_and_context(example: Loaded) -> None:
    opened = next(change for change in _told(example, range(25)) if change.kind is ChangeKind.OPENED)

    assert title(opened.alert) == "20 failed logins from 203.0.113.9 in 10m"
    assert opened.alert.labels["team"] == "identity"
    assert opened.alert.annotations["runbook"] == "https://wiki.example.com/runbooks/failed-logins"
    assert set(opened.alert.evidence.values) == {"data.user_name"}
    assert [value.count for value in opened.alert.evidence.values["data.user_name"]] == [7, 7, 6]


def test_its_severity_rises_during_the_episode_at_the_bound_and_not_before(example: Loaded) -> None:
    kinds = [(change.kind, change.alert.score) for change in _told(example, range(199))]
    risen = [(change.kind, change.alert.severity, change.at_ms) for change in _told(example, range(200))]

    assert kinds == [(ChangeKind.OPENED, 20)]
    assert risen == [
        (ChangeKind.OPENED, "high", BASE_MS + 19_000),
        (ChangeKind.RAISED, "critical", BASE_MS + 199_000),
    ]


@pytest.mark.parametrize(("gap_s", "alerts"), [(600, 1), (601, 2)])
def test_its_quiet_time_ends_the_episode_only_when_it_is_longer(
    example: Loaded, gap_s: int, alerts: int
) -> None:
    burst = [*range(20)]

    told = _told(example, [*burst, *(burst[-1] + gap_s for _ in range(20))])

    assert sum(change.kind is ChangeKind.OPENED for change in told) == alerts


def test_what_it_calls_ours_is_left_out(example: Loaded) -> None:
    assert _told(example, range(40), ip="192.0.2.200") == []
