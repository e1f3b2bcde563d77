"""A rule taken apart: its parts, and what they say to an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tocsin.model.event import Event
from tocsin.rules.compile import Made
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.load import load
from tocsin.rules.tools import explain
from tocsin.rules.tools.explain import Question, matches, needed_of, parts_of, questions_of
from tocsin.rules.tools.facts import facts_of
from tocsin.sources.decode import Decoder
from tocsin.tune.ruletests import events_of, provider_of

HEAD = "title: one\nname: one\nlogsource: {product: auth0}\n"
SHIPPED = Path(__file__).parents[3] / "rules"


def _made(tmp_path: Path, text: str) -> Made:
    file = tmp_path / "rule.yml"
    file.write_text(HEAD + text)
    return load([file]).made[0]


def _only(made: Made) -> Question:
    (question,) = questions_of(made)
    return question


def _event(made: Made, record: dict[str, Any]) -> Event:
    whole = {"log_id": "1", "date": "2025-01-06T12:00:00Z", **record}
    events, bad = Decoder(made.fields, provider="auth0").decode_body(msgspec.json.encode(whole), now_ms=None)
    assert not bad
    return events[0]


def _told(made: Made, record: dict[str, Any]) -> dict[str, tuple[bool, list[Any] | None]]:
    event = _event(made, record)
    return {
        part.text: (part.holds(event), part.sees(event) if part.sees else None)
        for part in parts_of(_only(made))
    }


TWO = """detection:
    failed: {data.type: [fp, fu], data.user_name|contains|all: [a, b]}
    ours: {data.ip|cidr: 192.0.2.0/24}
    condition: failed and not ours
"""


def test_every_part_says_whether_it_holds_and_what_it_saw(tmp_path: Path) -> None:
    told = _told(_made(tmp_path, TWO), {"type": "fu", "ip": "192.0.2.9", "user_name": "ab"})

    assert told == {
        "condition: failed and not ours": (False, None),
        "failed": (True, None),
        "data.type: fp or fu": (True, ["fu"]),
        "data.user_name|contains|all: a and b": (True, ["ab"]),
        "ours": (True, None),
        "data.ip|cidr: 192.0.2.0/24": (True, ["192.0.2.9"]),
    }


@pytest.mark.parametrize(
    ("detection", "record", "told"),
    [
        (
            '{s: {"data.a.b{}": x}, condition: s}',
            {"a": {"b": ["y", "x"]}},
            {"data.a.b{}: x": (True, ["y", "x"])},
        ),
        ("{s: {data.a|neq: x}, condition: s}", {}, {"data.a|neq: x": (True, [None])}),
        ("{s: {data.a: null}, condition: s}", {"a": 1}, {"data.a: null": (False, [1])}),
        ("{s: {data.a: ''}, condition: s}", {"a": ""}, {"data.a: ''": (True, [""])}),
        ("{s: [word, other], condition: s}", {"a": "a word"}, {"anywhere: word": (True, None)}),
        ("{s: [{a: 1}, {b: 2}], condition: s}", {"b": 2}, {"alternative 2": (True, None)}),
        (
            "{s: {tocsin.category: Login - Success}, condition: s}",
            {"type": "fp"},
            {"tocsin.category: Login - Success": (False, ["fp"])},
        ),
        ("{s: {data.a|exists: true}, condition: s}", {"a": None}, {"data.a|exists: true": (True, [None])}),
    ],
)
def test_parts_of_every_shape(
    tmp_path: Path, detection: str, record: dict[str, Any], told: dict[str, tuple[bool, list[Any] | None]]
) -> None:
    found = _told(_made(tmp_path, f"detection: {detection}\n"), record)

    assert {text: found[text] for text in told} == told


def test_params_stand_where_they_are_used_and_long_lists_are_cut(tmp_path: Path) -> None:
    names = ", ".join(f"n{number}" for number in range(25))
    made = _made(
        tmp_path,
        "detection: {s: {u|expand: '%us%'}, condition: s}\n"
        f"tocsin: {{params: {{us: {{default: [{names}]}}}}}}\n",
    )

    told = [part.text for part in parts_of(_only(made))]

    assert told[2].startswith("u|expand: n0 or n1 or ")
    assert told[2].endswith("n19 … (5 more)")


def test_filters_and_categories_are_parts(tmp_path: Path) -> None:
    made = _made(
        tmp_path,
        "detection: {s: {a: 1}, condition: s}\ntocsin: {category: Login - Failure}\n---\n"
        "title: office\nlogsource: {product: auth0}\n"
        "filter: {rules: [one], o: {ip: 192.0.2.1}, condition: not o}\n",
    )

    told = _told(made, {"a": 1, "type": "fp", "ip": "192.0.2.1"})

    assert told["category: Login - Failure"] == (True, ["fp"])
    assert told['filter "office": not o'] == (False, None)
    assert told["o"] == (True, None)


def test_a_correlation_says_what_it_counts_and_what_an_event_lacks(tmp_path: Path) -> None:
    made = _made(
        tmp_path,
        "detection: {s: {type: fp}, condition: s}\ntocsin: {correlate: {type: value_count, "
        "group-by: [data.ip], timespan: 10m, condition: {field: data.user_name, gte: 5, lte: 9}}}\n",
    )

    facts, needed = dict(facts_of(made)), needed_of(_only(made))

    assert facts["reads"] == "auth0: events of fp"
    assert facts["counts"] == "different values of data.user_name within 10m for each data.ip (value_count)"
    assert facts["alerts"] == "when the count is >= 5 and <= 9, decided when the window ends"
    assert [(one.why, one.field) for one in needed] == [("group", "data.ip"), ("counted", "data.user_name")]
    assert needed[0].read(_event(made, {"ip": "x"})) == "x"


CHAIN = """detection: {s: {type: fp}, condition: s}
---
title: two
name: two
logsource: {product: auth0}
detection: {s: {type: s}, condition: s}
---
title: noisy
name: noisy
correlation: {type: event_count, rules: [one], group-by: [ip], timespan: 10m, condition: {gte: 3}}
---
title: wave
name: wave
correlation: {type: event_count, rules: [noisy, two], group-by: [ip], timespan: 1h, condition: {gte: 2}}
"""


def test_a_correlation_of_correlations_is_explained_down_to_the_events(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(HEAD + CHAIN)
    made = {one.compiled.rule.name: one for one in load([file]).made}

    facts = dict(facts_of(made["wave"]))
    questions = [
        (one.owner.compiled.rule.name, one.base.doc.meta.label) for one in questions_of(made["wave"])
    ]

    assert facts["counts"] == "the times when noisy is true, two within 1h for each ip (event_count)"
    assert questions == [("wave", "two"), ("noisy", "one")]
    assert [[one.field for one in needed_of(question)] for question in questions_of(made["wave"])] == [
        ["ip"],
        ["ip"],
    ]
    assert dict(facts_of(made["noisy"]))["alerts"] == (
        "nothing itself: another correlation counts when it is true"
    )


def test_a_type_of_its_own_is_told_by_its_summary_and_as_it_is_written(tmp_path: Path) -> None:
    made = _made(
        tmp_path,
        "detection: {bad: {type: fp}, good: {type: s}, condition: bad or good}\n"
        "tocsin:\n    params: {share: {default: 0.9}}\n"
        "    correlate: {type: ratio, of: bad, over: bad or good, group-by: [ip], timespan: 10m, "
        "condition: {gte: $share, min_count: 50}}\n",
    )

    facts = dict(facts_of(made))
    told = _told(made, {"type": "s"})

    assert facts["counts"] == f"{CORRELATIONS['ratio'].summary} of 10m for each ip (ratio)"
    assert (facts["of"], facts["over"], facts["condition"]) == ("bad", "bad or good", "gte 0.9, min_count 50")
    assert facts["alerts"] == "when its time is past, as late events may change it"
    assert told["part 1 of the ratio: bad"][0] is False
    assert told["part 2 of the ratio: bad or good"][0] is True


def _disagreements() -> tuple[list[str], int]:
    """Where a rule's conditions, category and filters do not say together what the engine is given.

    Of the events of all tests of all shipped rules; and how many of them matched.
    """
    loaded = load([SHIPPED])
    wrong: list[str] = []
    matched = 0
    for made in loaded.made:
        for question in questions_of(made):
            if question.owner.spec is not None and question.owner.spec.steps:
                continue
            base, label = question.base, question.base.doc.meta.label
            matcher = next(one for one in question.owner.compiled.matchers if one.name == label)
            for case in loaded.cases.get(made.compiled.rule.id, ()):
                for event in events_of(case, provider_of(made), made.fields)[:20]:
                    ours = matcher.product in ("", event.provider)
                    by_code = ours and (matcher.codes is None or event.code in matcher.codes)
                    truth = by_code and (matcher.matches is None or matcher.matches(event))
                    told = all(part.holds(event) for part in parts_of(question) if part.depth == 0)
                    matched += truth
                    if ours and not told == matches(base, event) == truth:
                        wrong.append(case.name)
    return wrong, matched


def test_of_every_shipped_rule_the_parts_agree_with_the_rule() -> None:
    wrong, matched = _disagreements()

    assert wrong == []
    assert matched > 500


@pytest.mark.parametrize("planted", [lambda _tree: None, lambda tree: lambda event: True])
def test_an_explanation_that_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch, planted: Any) -> None:
    monkeypatch.setattr(explain, "predicate", planted)

    assert _disagreements()[0]
