"""What the tests of shorthand types share: a rule around a `correlate`, and what a load or a replay says."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tocsin.clock import iso
from tocsin.model.alert import Alert
from tocsin.model.compiled import RuleSet
from tocsin.rules.load import load
from tocsin.sources.decode import Decoder
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import Replay
from tocsin.tune.ruletests import LATENESS, run_cases

BASE_MS = 1_700_000_000_000
PAGES = Path(__file__).parents[4] / "docs" / "correlations"
Told = Callable[[str], list[str]]


def rule(correlate: str, *, params: str = "{}", severity: str = "[]") -> str:
    """A rule that counts failed logins (`failed`, `known`) and good ones (`ok`) this way."""
    return (
        "title: t\nname: r\nlogsource: {product: auth0}\n"
        "detection:\n    failed: {data.type: [fp, fu]}\n    known: {data.type: fp}\n    ok: {data.type: s}\n"
        "    condition: failed or known or ok\n"
        f"level: low\ntocsin:\n    params: {params}\n    correlate: {correlate}\n"
        f"    alert: {{resolve_after: 0s, severity: {severity}, context: [data.user_name]}}\n"
    )


def warned(ruleset: RuleSet) -> list[str]:
    """The warnings of a load, without their places."""
    return [warning.message for warning in ruleset.warnings]


def state_of(ruleset: RuleSet) -> str:
    """The name of the only rule's windows."""
    (one,) = ruleset.rules
    assert one.correlation is not None
    return one.correlation.spec.state


def replayed(ruleset: RuleSet, records: Sequence[Mapping[str, Any]]) -> list[Alert]:
    """The alerts that these records make, by time; `at` are seconds."""
    run = Replay(ruleset, MemoryWindows(), lateness=LATENESS)
    made = [
        {"log_id": f"id{number}", "tenant_name": "acme", **record, "date": iso(BASE_MS + record["at"] * 1000)}
        for number, record in enumerate(records)
    ]
    decoder = Decoder(ruleset.fields)
    events, bad = decoder.decode_records(list(map(msgspec.json.encode, made)), first=0, now_ms=None)
    assert not bad
    run.feed(events)
    run.finish(BASE_MS + 86_400_000)
    return sorted(run.alerts.find(limit=10_000), key=lambda alert: alert.started_ms)


def page_outcomes(page: str) -> list[str]:
    """What is wrong with the example of a page, its warnings and its tests."""
    text = (PAGES / page).read_text("utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "example.yml"
        file.write_text(example, "utf-8")
        loaded = load([file])
    outcomes = list(run_cases(loaded))
    assert outcomes
    return warned(loaded.ruleset) + [mistake for outcome in outcomes for mistake in outcome.mistakes]
