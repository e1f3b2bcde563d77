"""Rules in pure Sigma: they load again, and are true at the same moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigma.collection import SigmaCollection

from tocsin.errors import RuleError
from tocsin.model.alert import ChangeKind
from tocsin.model.compiled import CompiledRule, RuleSet
from tocsin.model.event import Event
from tocsin.protocols import Batch
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.document import plain, read_documents
from tocsin.rules.load import Loaded, load
from tocsin.rules.made import Made
from tocsin.rules.problems import Problems
from tocsin.rules.tools.dump import yaml_of
from tocsin.rules.tools.export import Exported, export_sigma
from tocsin.sources.decode import Decoder
from tocsin.sources.file import demo_records
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import replay
from tocsin.tune.ruletests import events_of, provider_of

SHIPPED = Path(__file__).parents[3] / "rules"
Moment = tuple[str, tuple[tuple[str, str], ...], int]


def _bare(compiled: CompiledRule) -> CompiledRule:
    group_by = compiled.rule.group_by if compiled.correlation else ()
    return replace(
        compiled,
        rule=replace(compiled.rule, resolve_after_ms=0, for_ms=0, group_by=group_by),
        matchers=tuple(
            replace(matcher, group_by=matcher.group_by[: len(group_by)]) for matcher in compiled.matchers
        ),
    )


def moments(ruleset: RuleSet, records: bytes) -> set[Moment]:
    """Those of Auth0's records."""
    events, bad = Decoder(ruleset.fields).decode_body(records, now_ms=None)
    assert not bad
    return moments_of(ruleset, events)


def moments_of(ruleset: RuleSet, events: list[Event]) -> set[Moment]:
    """(rule, group, time) at which each rule is true: episodes of no length, each of one trigger.

    What a plain detection's alert is about is not Sigma's, so all of them are about the whole rule.
    """
    bare = tuple(map(_bare, ruleset.rules))
    last_ms = max((event.time_ms for event in events), default=0) + 90_000_000
    changes = replay(
        replace(ruleset, rules=bare),
        [Batch(events, "end")],
        windows=MemoryWindows(),
        lateness=timedelta(seconds=60),
        until_ms=last_ms,
    )
    return {
        (change.alert.rule, tuple(change.alert.group.items()), change.alert.started_ms)
        for change in changes
        if change.kind is ChangeKind.OPENED
    }


def _written(folder: Path, exported: Sequence[Exported]) -> Loaded:
    for one in exported:
        (folder / Path(one.file).name).write_text(yaml_of(one.documents), encoding="utf-8")
    return load([folder])


def _again(tmp_path: Path, *texts: str, lists: dict[str, Path] | None = None) -> tuple[Loaded, Loaded]:
    """The rules of these files, and those of their export; which is loaded without any list."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    for number, text in enumerate(texts):
        (tmp_path / "here" / f"{number}.yml").write_text(text)
    before = load([tmp_path / "here"], lists=lists)
    return before, _written(tmp_path / "there", export_sigma(before))


def _is_sigma(made: Made) -> bool:
    spec = made.spec
    own = spec is None or (CORRELATIONS[spec.type].sigma and not spec.steps and not spec.prefixes)
    return own and all(_is_sigma(child) for child in made.children)


def _of_sigma(found: set[Moment], shipped: Loaded) -> set[Moment]:
    """The moments of rules that Sigma can say whole; of the others it says only which events they read."""
    names = {made.compiled.rule.name for made in shipped.made if _is_sigma(made)}
    return {moment for moment in found if moment[0] in names}


def test_the_shipped_rules_are_true_at_the_same_moments_of_the_bundled_attack(tmp_path: Path) -> None:
    shipped = load([SHIPPED])

    there = _written(tmp_path, export_sigma(shipped))

    before = _of_sigma(moments(shipped.ruleset, demo_records()), shipped)
    assert _of_sigma(moments(there.ruleset, demo_records()), shipped) == before
    assert len({rule for rule, _, _ in before}) >= 3
    assert len(before) > 100


def test_the_shipped_rules_are_true_at_the_same_moments_of_all_their_tests(tmp_path: Path) -> None:
    shipped = load([SHIPPED])
    there = _written(tmp_path, export_sigma(shipped))
    seen: set[str] = set()

    for made in shipped.made:
        for case in shipped.cases.get(made.compiled.rule.id, ()):
            here, away = (
                moments_of(rules, events_of(case, provider_of(made), rules.fields))
                for rules in (shipped.ruleset, there.ruleset)
            )
            assert _of_sigma(away, shipped) == _of_sigma(here, shipped), case.name
            seen |= {rule for rule, _, _ in _of_sigma(here, shipped)}

    assert seen == {made.compiled.rule.name for made in shipped.made if _is_sigma(made)}


@pytest.mark.parametrize(
    ("position", "section", "change"),
    [
        (1, "correlation", {"timespan": "30s"}),
        (1, "correlation", {"condition": {"gte": 21}}),
        (1, "correlation", {"condition": {"gt": 20}}),
        (1, "correlation", {"group-by": ["data.user_name"]}),
        (1, "correlation", {"type": "value_count", "condition": {"gte": 20, "field": "data.user_name"}}),
        (0, "detection", {"failed": {"data.type": "fp"}}),
        (0, "detection", {"condition": "not failed"}),
        (1, "name", "other"),
    ],
)
def test_a_wrong_export_is_seen(tmp_path: Path, position: int, section: str, change: Any) -> None:
    shipped = load([SHIPPED / "auth0" / "failed_logins_from_ip.yml"])
    (exported,) = export_sigma(shipped)

    said = exported.documents[position][section]
    exported.documents[position][section] = {**said, **change} if isinstance(said, dict) else change
    there = _written(tmp_path, [exported])

    assert moments(there.ruleset, demo_records()) != moments(shipped.ruleset, demo_records())


COUNTING = """title: One
id: 11111111-2222-4333-8444-555555555555
name: one
logsource: {product: auth0}
detection:
    s: {type: [fp, fu]}
    condition: s
tocsin:
    params: {n: {default: 2, max: 9}, us: {default: [a*b, c]}}
    correlate: {type: %s, group-by: [data.ip], timespan: %s, condition: {%s}%s}
"""
TWICE = COUNTING % ("event_count", "1m", "gte: $n", "")
PLAIN = "title: %s\nname: %s\nlogsource: {product: auth0}\ndetection: {s: {%s}, condition: s}\n"
LISTED = "title: office\nlogsource: {product: auth0}\n"
LISTED += "filter: {rules: [%s], o: {ip: 192.0.2.9}, condition: not o}\n"

MANY = """title: many
correlation: {type: event_count, rules: [one], timespan: 1m, condition: {gte: 3}}
tocsin: {params: {n: {set: correlation.condition.gte}}}
"""


def _record(number: int, **fields: Any) -> dict[str, Any]:
    return {"log_id": str(number), "date": f"2025-01-06T12:00:{number:02}.000Z", "ip": "192.0.2.1", **fields}


EVENTS = [
    _record(1, type="fp", user_name="a*b"),
    _record(2, type="fu", user_name="aXb"),
    _record(3, type="s", user_name="c"),
    _record(4, type="fp", ip="192.0.2.9", user_name="c"),
    _record(5, type="fp", ip="192.0.2.9", user_name="0o17"),
    _record(6, type="f", user_name="off"),
    _record(40, type="fp", user_name="1e3"),
    _record(45, type="fu", user_name=None),
]


@pytest.mark.parametrize(
    ("texts", "rules"),
    [
        ([TWICE], {"one"}),
        ([COUNTING % ("event_count", "1m", "gte: $n", ", generate: true")], {"one", "one.events"}),
        ([COUNTING % ("value_count", "1m30s", "field: data.user_name, gte: 2", "")], {"one"}),
        ([COUNTING % ("event_count", "10s", "gte: 1, lt: 3", "")], {"one"}),
        ([COUNTING.replace("type: [fp, fu]", "u|expand: '%%us%%'").replace("u|", "user_name|") % (
            "event_count", "1m", "gte: 1", "")], {"one"}),
        ([COUNTING.replace("s: {type: [fp, fu]}", "s: {'|expand': '%%us%%'}") % (
            "event_count", "1m", "gte: 1", "")], {"one"}),
        ([PLAIN % ("p", "p", "data.ip|exists: true") + "tocsin: {category: Login - Failure}\n"], {"p"}),
        ([PLAIN % ("p", "p", "tocsin.category: Login - Failure")], {"p"}),
        ([PLAIN % ("p", "p", "tocsin.category|neq: [Login - Failure, auth.signup.fail]")], {"p"}),
        (
            ["taxonomy: ecs\n" + PLAIN % ("p", "p", "tocsin.category: Login - Failure, user.name: c")
             + "tocsin: {category: auth.login.fail}\n"],
            {"p"},
        ),
        ([TWICE.replace("type: [fp, fu]", "tocsin.category: login - failure, ip: 192.0.2.1")], {"one"}),
        ([PLAIN % ("p", "p", "user_name: ['0o17', 'off', '1e3']")], {"p"}),
        ([TWICE, LISTED % "one"], {"one"}),
        ([TWICE + "---\n" + LISTED % "11111111-2222-4333-8444-555555555555"], {"one"}),
        ([TWICE, MANY], {"one", "many"}),
        (
            [PLAIN % ("p", "p", "type: s") + "---\n" + TWICE + "---\n"
             "title: both\ncorrelation: {type: value_count, rules: [one, p], group-by: [who], "
             "aliases: {who: {one: ip, p: ip}}, timespan: 1m, condition: {gte: 2, field: user_name}}\n"],
            {"one", "both"},
        ),
    ],
)  # fmt: skip
def test_every_way_to_write_a_rule_is_true_at_the_same_moments(
    tmp_path: Path, texts: list[str], rules: set[str]
) -> None:
    before, there = _again(tmp_path, *texts)
    records = b"\n".join(map(msgspec.json.encode, EVENTS))

    assert moments(there.ruleset, records) == moments(before.ruleset, records)
    assert {rule for rule, _, _ in moments(before.ruleset, records)} == rules


def test_what_stands_in_a_list_file_is_written_in(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("a*b\nc\n")
    before, there = _again(
        tmp_path, PLAIN % ("p", "p", "user_name|expand: '%us%', type: fp"), lists={"us": names}
    )
    records = b"\n".join(map(msgspec.json.encode, EVENTS))

    assert moments(there.ruleset, records) == moments(before.ruleset, records)
    assert len(moments(before.ruleset, records)) == 2


def test_the_documents_carry_nothing_of_ours(tmp_path: Path) -> None:
    exported = export_sigma(_again(tmp_path, TWICE)[0])

    base, counting = exported[0].documents
    assert (base["name"], counting["name"]) == ("one.events", "one")
    assert (base["id"] == counting["id"], counting["id"]) == (False, "11111111-2222-4333-8444-555555555555")
    assert counting["correlation"] == {
        "type": "event_count", "rules": ["one.events"], "group-by": ["data.ip"], "timespan": "1m",
        "condition": {"gte": 2},
    }  # fmt: skip
    assert not {"tocsin"} & (base.keys() | counting.keys())
    assert not {"logsource", "detection"} & counting.keys()


def test_what_is_lost_is_listed(tmp_path: Path) -> None:
    text = COUNTING % ("event_count", "1500ms", "gte: 2", ", allow_missing: true")
    text += "    alert: {severity: [{gte: 5, is: high}], for: 1m, labels: {a: b}}\n"
    (exported,) = export_sigma(_again(tmp_path, text)[0])

    assert [loss.key for loss in exported.losses] == [
        "correlate.allow_missing", "correlate.timespan", "params", "alert.severity", "alert.for",
        "alert.labels",
    ]  # fmt: skip
    assert exported.documents[1]["correlation"]["timespan"] == "2s"  # type: ignore[index]


def test_of_a_type_that_sigma_lacks_only_the_detection_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst = replace(CORRELATIONS["event_count"], sigma=False, summary="many at once")
    monkeypatch.setitem(CORRELATIONS, "burst", burst)
    file = tmp_path / "one.yml"
    file.write_text(COUNTING % ("burst", "1m", "gte: 2", ""))

    (exported,) = export_sigma(load([file]))

    assert [(document["name"], document["level"]) for document in exported.documents] == [
        ("one.events", "informational")
    ]
    assert exported.losses[0].key == "correlate"
    assert exported.losses[0].what == (
        "burst (many at once): Sigma has no words for it, only its events are exported"
    )


def test_two_items_that_would_become_one_are_refused_where_they_stand(tmp_path: Path) -> None:
    text = PLAIN % ("p", "p", "u: x, u|expand: '%us%'") + "tocsin: {params: {us: {default: y}}}\n"

    with pytest.raises(RuleError, match=r'0.yml:4:23: in plain Sigma "u" stands twice here; write two'):
        _again(tmp_path, text)


def _pysigma_errors(text: str) -> list[str]:
    """What pySigma, which is nobody's here, says against these documents."""
    found = SigmaCollection.from_yaml(text, collect_errors=True)
    return [str(error) for error in (*found.errors, *(error for rule in found for error in rule.errors))]


@pytest.mark.parametrize("file", sorted(SHIPPED.rglob("*.yml")), ids=lambda file: file.stem)
def test_pysigma_takes_every_shipped_rule_as_it_is_and_as_exported(file: Path) -> None:
    (exported,) = export_sigma(load([file]))

    assert _pysigma_errors(file.read_text()) == []
    assert _pysigma_errors(yaml_of(exported.documents)) == []


def test_pysigma_takes_what_it_does_not_know_to_be_ours_amiss() -> None:
    (exported,) = export_sigma(load([SHIPPED / "auth0" / "failed_logins_from_ip.yml"]))
    exported.documents[1]["correlation"]["timespan"] = "ten minutes"  # type: ignore[index]

    assert _pysigma_errors(yaml_of(exported.documents))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=20),
    st.sampled_from(
        ["1e3", "0o17", "0x1F", "off", "~", "010", "1:30", "=", "2025-01-01", "- a", "a: b", "1_000"]
    ),
)


@given(st.dictionaries(st.text("abc|é: #'", min_size=1, max_size=8), SCALARS | st.lists(SCALARS, max_size=3)))
def test_what_is_dumped_is_read_as_it_was(data: dict[str, Any]) -> None:
    problems = Problems("x.yml")

    (found,) = read_documents(yaml_of([data or {"a": 1}]).encode(), problems) or [None]

    assert found is not None
    assert not problems.errors
    assert plain(found) == (data or {"a": 1})
