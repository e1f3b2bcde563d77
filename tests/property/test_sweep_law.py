"""`tune` against replays: each row is what a replay with those params set tells, of any rule and type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random  # noqa: TID251 - seeded: a failure names its seed

import pytest

from tocsin.model.alert import ChangeKind
from tocsin.model.event import Event
from tocsin.protocols import Batch
from tocsin.rules.load import Loaded, load
from tocsin.rules.made import Made
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune import sweep as sweep_module
from tocsin.tune.candidates import combinations, overlay_of
from tocsin.tune.knobs import knobs_of, overlays
from tocsin.tune.replay import replay
from tocsin.tune.ruletests import LATENESS, events_of, provider_of
from tocsin.tune.sweep import Candidate, Row, Sweep, episodes

RULES = Path(__file__).parents[2] / "rules"
FILES = sorted(path.relative_to(RULES).as_posix() for path in RULES.rglob("*.yml"))
Told = tuple[int, int, datetime | None, datetime | None]


def _tuned(path: Path) -> tuple[Made, list[Candidate]]:
    """Candidates of the file's last rule: its params at a third, as they are, and at twice that."""
    made = _last(load([path]))
    knobs = knobs_of(made)
    params = {name: knob.param for name, knob in knobs.items()}
    asked = []
    for name, param in params.items():
        if not isinstance(param.shown, int | float):
            continue
        least, most = (float(text or 0) for text in (param.least, param.most))
        values = {param.shown // 3 or param.shown / 3, param.shown, param.shown * 2}
        within = sorted(value for value in values if value >= least and (not most or value <= most))
        asked.append(f"{name}={','.join(f'{value:g}' for value in within)}")
    if not asked:
        return made, [Candidate({}, made)]
    return made, [
        Candidate(
            values,
            _last(load([path], tried=overlay_of(overlays(values, knobs)))),
            tuple(f"{name}={text}" for name, text in values.items() if knobs[name].counted),
        )
        for values in combinations(params, asked[:2], "")
    ]


def _last(loaded: Loaded) -> Made:
    return next(made for made in reversed(loaded.made) if made.compiled.alerts)


def _batches(events: Sequence[Event], seed: int) -> list[Batch]:
    rng = Random(seed)
    arriving = sorted(events, key=lambda event: event.time_ms + rng.randrange(0, 59_000))
    return [Batch(arriving[start : start + 7], str(start)) for start in range(0, len(arriving), 7)]


def _replayed(made: Made, batches: Sequence[Batch]) -> Told:
    """By the long way: everything that a replay does."""
    ruleset = sweep_module._ruleset([Candidate({}, made)], {"alone": [0]})
    alone = ruleset.rules[-1]
    rules = type(ruleset)((*ruleset.rules[:-1], made.compiled), ruleset.fields)
    assert alone.rule.name == "alone"
    opened = [
        change.alert
        for change in replay(rules, batches, windows=MemoryWindows(), lateness=LATENESS)
        if change.kind is ChangeKind.OPENED and change.alert.rule == made.compiled.rule.name
    ]
    starts = sorted(alert.started_at for alert in opened)
    groups = {(alert.tenant, alert.fingerprint) for alert in opened}
    return len(opened), len(groups), starts[0] if starts else None, starts[-1] if starts else None


def _swept(candidates: Sequence[Candidate], batches: Sequence[Batch]) -> list[Row]:
    sweep = Sweep(candidates, lateness=LATENESS)
    for batch in batches:
        sweep.feed(batch)
    return sweep.finish()


@pytest.mark.parametrize("file", FILES)
def test_a_row_is_what_a_replay_with_those_params_tells(file: str) -> None:
    made, candidates = _tuned(RULES / file)
    fields = frozenset().union(*(candidate.made.fields for candidate in candidates))
    for seed, case in enumerate(made.doc.extension.tests):
        batches = _batches(events_of(case, provider_of(made), fields), seed)
        rows = _swept(candidates, batches)

        for candidate, row in zip(candidates, rows, strict=True):
            told = (row.alerts, row.groups, row.first, row.last)
            assert told == _replayed(candidate.made, batches), (case.name, candidate.values)


@pytest.mark.parametrize(
    ("instants", "resolve_after", "for_ms", "starts"),
    [
        ([], 10, 0, []),
        ([5], 10, 0, [5]),
        ([5, 15, 25], 10, 0, [5]),
        ([5, 16], 10, 0, [5, 16]),
        ([5, 6], 0, 0, [5, 6]),
        ([5, 5], 0, 0, [5]),
        ([5, 9, 14], 10, 10, []),
        ([5, 9, 15], 10, 10, [5]),
        ([5, 15, 30, 40], 10, 10, [5, 30]),
    ],
)
def test_episodes_go_on_while_no_gap_is_too_great(
    instants: list[int], resolve_after: int, for_ms: int, starts: list[int]
) -> None:
    assert list(episodes(instants, resolve_after, for_ms)) == starts


@pytest.mark.parametrize("mistake", ["no share", "gap", "one child for all"])
def test_the_law_notices_a_mistake(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    if mistake == "gap":
        monkeypatch.setattr(
            sweep_module, "episodes", lambda instants, after, _for: episodes(instants, after - 1, 0)
        )
    elif mistake == "one child for all":
        monkeypatch.setattr(sweep_module, "_counted", lambda rule, _mark: replace(rule, alerts=False))
        monkeypatch.setattr(sweep_module, "_fed", lambda rule, _mark: rule.matchers)
    else:
        monkeypatch.setattr(sweep_module, "_counts_alike", lambda made: made.doc.meta.id)

    found = 0
    for file in FILES:
        try:
            test_a_row_is_what_a_replay_with_those_params_tells(file)
        except AssertionError:
            found += 1
    assert found
