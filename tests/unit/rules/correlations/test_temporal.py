"""`temporal` and `temporal_ordered`: what may be written, and what that means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tocsin.model.compiled import RuleSet, WindowSpec
from tocsin.model.ledger import Ledger, Seen
from tocsin.rules.correlations.expression import Said, holding, read_expression, ways
from tocsin.rules.correlations.sliding import MAX_MEMBERS
from tocsin.rules.document import Scalar
from tocsin.rules.problems import Mark, Problems

ONE_ORDER = "write them in one order"
LoadText = Callable[..., RuleSet]
Mistakes = Callable[..., list[str]]

BASES = "".join(
    f"---\ntitle: {name}\nname: {name}\nlogsource: {{product: auth0}}\n"
    f"detection: {{s: {{type: {code}}}, condition: s}}\n"
    for name, code in {"a": "fp", "b": "fu", "c": "s"}.items()
)


def _text(kind: str, keys: str, rules: str = "rules: [a, b, c], ") -> str:
    return f"title: t\ncorrelation: {{type: {kind}, {rules}timespan: 1m{keys}}}\n{BASES}"


def _spec(ruleset: RuleSet) -> WindowSpec:
    (rule,) = (rule for rule in ruleset.rules if rule.correlation)
    assert rule.correlation
    return rule.correlation.spec


def _ledger(ruleset: RuleSet) -> Ledger:
    spec = _spec(ruleset)
    assert spec.ledger
    return spec.ledger(None, spec.keep)


@pytest.mark.parametrize(
    ("kind", "keys", "expected"),
    [
        ("temporal", ", condition: {gte: 4}",
         "2:74: of 3 rules no window can meet this condition; check its numbers"),
        ("temporal", ", condition: {lt: 1}", "2:74: no count can meet this condition; check its numbers"),
        ("temporal", ", condition: {gte: -1}", "2:80: gte must be from 0 to 1000000, not -1"),
        ("temporal", ", condition: {}",
         '2:74: the condition compares with nothing; write {gte: 2}, or "a and b and not c"'),
        ("temporal", ", condition: [a, b]", "2:74: condition must be a map; this is a list"),
        ("temporal", ", condition: {gte: 2, of: [a]}",
         '2:83: unknown key "of" in condition; known are eq, field, gt, gte, lt, lte, neq'),
        ("temporal", ', condition: ""', "2:75: condition: it is empty; name a rule"),
        ("temporal", ", condition: a and bb", '2:80: condition: unknown rule "bb"; did you mean "b"?'),
        ("temporal", ", condition: a b and c",
         '2:76: condition: "and" or "or" is expected before "b"'),
        ("temporal", ", condition: (a and b", '2:74: condition: this "(" is never closed; add ")"'),
        ("temporal", ", condition: a and", "2:79: condition: it ends where a rule is expected"),
        ("temporal", ", condition: 1 of x*", '2:79: condition: no rule matches "x*"; known are a, b, c'),
        ("temporal", ", condition: all of them, time-span: 1m",
         '2:87: unknown key "time-span" in correlation; did you mean "timespan"?'),
        ("temporal_ordered", ", condition: {gte: 4}",
         "2:82: of 3 rules no window can meet this condition; check its numbers"),
        ("temporal_ordered", ", condition: {lte: 2}",
         "2:82: temporal_ordered is true once steps are complete, so it takes gte or gt alone"),
        ("temporal_ordered", ", condition: a and not b",
         '2:82: temporal_ordered says what follows what, so it cannot say "not"; use temporal'),
        *(("temporal", f", condition: {condition}",
           "2:74: no window can meet this condition, as in each is one of the rules; check its words")
          for condition in ("a and not a", "not a and not b and not c", "not (1 of them)")),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_the_way_out(
    mistakes: Mistakes, kind: str, keys: str, expected: str
) -> None:
    assert mistakes(_text(kind, keys)) == [f"rule.yml:{expected}"]


@pytest.mark.parametrize("kind", ["temporal", "temporal_ordered"])
def test_one_document_has_nothing_to_tell_apart(mistakes: Mistakes, kind: str) -> None:
    text = (
        "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        f"tocsin: {{correlate: {{type: {kind}, timespan: 1m}}}}\n"
    )

    assert mistakes(text) == [
        f"rule.yml:4:21: {kind} tells several rules apart; write it as a correlation document that names them"
    ]


def test_more_combinations_than_anybody_means_are_refused(mistakes: Mistakes) -> None:
    rules = ", ".join("abc"[n % 3] for n in range(20))

    (told,) = mistakes(_text("temporal_ordered", ", condition: {gte: 10}", f"rules: [{rules}], "))

    assert told.endswith("10 of 20 rules are too many combinations; name fewer rules")


def test_a_text_that_is_true_in_too_many_ways_is_refused(mistakes: Mistakes) -> None:
    bases = "".join(
        f"---\ntitle: r{n}\nname: r{n}\nlogsource: {{product: auth0}}\n"
        f"detection: {{s: {{type: fp}}, condition: s}}\n"
        for n in range(24)
    )
    said = " and ".join(f"(r{n} or r{n + 1})" for n in range(0, 24, 2))
    keys = f"    type: temporal_ordered\n    timespan: 1m\n    condition: {said}\n"
    text = f"title: t\ncorrelation:\n{keys}{bases}"

    assert mistakes(text) == ["rule.yml:5:16: the condition can be true in too many ways; split the rule"]


@pytest.mark.parametrize(
    ("kind", "keys", "told"),
    [
        ("temporal", ", condition: {gte: 2, field: user_name}",
         "temporal counts rules and ignores field; use value_count, or remove it"),
        ("temporal", ", condition: {gte: 1}",
         "the condition is true at the first match of any rule; ask for two rules, or count events"),
        ("temporal", ", condition: a and b",
         'the condition never says "c"; use it there, or remove it here'),
        ("temporal_ordered", ", condition: a and b",
         'the condition never says "c"; use it there, or remove it here'),
    ],
)  # fmt: skip
def test_what_is_surely_not_meant_is_a_warning(load_text: LoadText, kind: str, keys: str, told: str) -> None:
    assert [warning.message for warning in load_text(_text(kind, keys)).warnings] == [told]


def test_a_rule_that_only_opens_windows_is_of_use(load_text: LoadText) -> None:
    assert load_text(_text("temporal", ", condition: not b and not c")).warnings == ()


def test_a_step_of_an_order_may_come_again(load_text: LoadText) -> None:
    ruleset = load_text(_text("temporal_ordered", "", "rules: [a, b, a], "))

    held = _ledger(ruleset)

    assert ruleset.warnings == ()
    assert held.observe([Seen(1, 0, 0), Seen(2, 1, 1), Seen(2, 2, 2), Seen(3, 2, 2)], 0) == [(3, 3)]


def test_rules_that_only_the_condition_names_are_its_rules(load_text: LoadText) -> None:
    written = load_text(_text("temporal", ", condition: c and (a or not a)", "rules: [c, a], "))
    said = load_text(_text("temporal", ", condition: c and (a or not a)", ""))

    (rule,) = (rule for rule in said.rules if rule.correlation)
    assert [matcher.name for matcher in rule.matchers] == ["c", "a"]
    assert _spec(said) == _spec(written)._replace(ledger=_spec(said).ledger)


def test_an_unknown_rule_that_only_the_condition_names_has_its_place(mistakes: Mistakes) -> None:
    text = _text("temporal", ", condition: a and bx", "")

    assert mistakes(text) == ['rule.yml:2:62: there is no rule "bx"; did you mean "b"?']


def test_without_rules_and_without_names_there_is_nothing_to_see(mistakes: Mistakes) -> None:
    assert mistakes(_text("temporal", ", condition: 1 of them", ""))[0] == (
        "rule.yml:2:14: a correlation needs rules; name what it counts"
    )


def test_a_rule_may_be_named_by_its_id(load_text: LoadText) -> None:
    bases = BASES.replace("name: a\n", "name: a\nid: 11111111-2222-4333-8444-555555555555\n")
    text = (
        "title: t\ncorrelation:\n    type: temporal\n    rules: [11111111-2222-4333-8444-555555555555, b]\n"
        "    timespan: 1m\n    condition: 11111111-2222-4333-8444-555555555555 and b\n"
    )

    assert [rule.rule.title for rule in load_text(text + bases).rules if rule.correlation] == ["t"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("", ", condition: {gte: 2}", True),
        (", condition: {gte: 2}", ", condition: a and b", True),
        (", condition: {gte: 2}", ", condition: {lte: 2}", False),
        (", condition: {lte: 2}", ", condition: a and not b", True),
        (", condition: a and b", ", condition: a and not b", False),
    ],
)
def test_a_condition_begins_no_new_state_unless_windows_are_kept_otherwise(
    load_text: LoadText, one: str, other: str, *, same: bool
) -> None:
    states = {_spec(load_text(_text("temporal", keys).replace("title: t", "title: t\nid: t"))).state
              for keys in (one, other)}  # fmt: skip

    assert (len(states) == 1) is same


def test_another_order_begins_anew(load_text: LoadText) -> None:
    def state(keys: str) -> str:
        return _spec(load_text(_text("temporal_ordered", keys))).state

    assert state("") == state(", condition: a and b and c") != state(", condition: {gte: 2}")


SAID = {
    "a": [{0}],
    "a and b": [{0, 1}],
    "a or b": [{0}, {1}],
    "a and (b or c)": [{0, 1}, {0, 2}],
    "a or b and c": [{0}, {1, 2}],
    "all of them": [{0, 1, 2}],
    "1 of them": [{0}, {1}, {2}],
    "any of b*": [{1}],
    "not not a": [{0}],
}


def _read(text: str) -> Said:
    problems = Problems("rule.yml")
    rules = [Scalar(name, Mark(1, 1)) for name in "abc"]
    said = read_expression(Scalar(text, Mark(1, 1)), rules, problems)
    assert said is not None, problems.errors
    return said


@pytest.mark.parametrize("text", SAID)
def test_the_ways_in_which_a_text_is_true(text: str) -> None:
    found = ways(_read(text))

    assert found is not None
    minimal = [set(way) for way in found if not any(other < way for other in found)]
    assert sorted(map(sorted, minimal)) == sorted(map(sorted, SAID[text]))


@pytest.mark.parametrize("text", [*SAID, "a and not b", "not (a or b)", "not (a and not (b or c))"])
def test_a_text_is_true_of_what_was_seen(text: str) -> None:
    holds = holding(_read(text))
    if "of" in text:
        text = {"all of them": "a and b and c", "1 of them": "a or b or c", "any of b*": "b"}[text]

    for mask in range(8):
        counts = [mask >> step & 1 for step in range(3)]
        assert holds(counts) == eval(text, {}, dict(zip("abc", map(bool, counts), strict=True)))


@pytest.mark.parametrize("kind", ["temporal", "temporal_ordered"])
def test_what_a_flood_leaves_behind_is_little(load_text: LoadText, kind: str) -> None:
    held = _ledger(load_text(_text(kind, "")))
    told = held.observe([Seen(10, 0, 0), Seen(20, 1, 1)], 0)
    for start in range(100, 40_000, 1_000):
        told += held.observe([Seen(at, 0, 0) for at in range(start, start + 1_000)], 0)

    assert held.size <= MAX_MEMBERS + 2
    committed = held.observe([Seen(40_100, 2, 2)], 40_100)

    assert committed == [(40_100, 3)]  # the flood hid neither step
    assert held.size <= 5
    assert len(held.dump()) < 200


def test_a_flood_hides_nothing_from_a_window_that_waits_for_its_end(load_text: LoadText) -> None:
    held = _ledger(load_text(_text("temporal", ", condition: a and not b")))
    for start in range(0, 30_000, 1_000):
        held.observe([Seen(at, 0, 0) for at in range(start, start + 1_000)], 0)
    held.observe([Seen(31_000, 1, 1)], 0)

    assert held.size <= MAX_MEMBERS + 1
    assert held.due(61_000, 0) == []


@pytest.mark.parametrize(
    ("rules", "condition", "order"),
    [
        ("[a, b]", "b and a", "a, b"),
        ("[a, b, c]", "(c and b) or a", "b, c"),
        ("[a, b]", "a and b", ""),
        ("[a, b]", "b or a", ""),
        ("[a, b, c]", "(b and c) or a", ""),
        ("[a, b, c]", "all of them", ""),
        ("[b, a]", "b and a", ""),
    ],
)
def test_a_condition_in_another_order_than_the_rules_is_told(
    load_text: LoadText, rules: str, condition: str, order: str
) -> None:
    text = _text("temporal_ordered", f", condition: {condition}", f"rules: {rules}, ")

    told = [warning.message for warning in load_text(text).warnings]

    assert told == (
        [f"the steps follow each other as in rules ({order}), not as in the condition; {ONE_ORDER}"]
        if order
        else []
    )
