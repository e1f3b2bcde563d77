"""`tocsin.category` as an item of a selection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tocsin.model.compiled import RuleSet


@pytest.mark.parametrize(
    ("selection", "condition", "code", "matches"),
    [
        ("s: {tocsin.category: Login - Failure}", "s", "fp", True),
        ("s: {tocsin.category: login - failure}", "s", "FP", True),
        ("s: {tocsin.category: Login - Failure}", "s", "s", False),
        ("s: {tocsin.category: Login - Failure}", "s", "", False),
        ("s: {tocsin.category: [Login - Failure, Login - Success]}", "s", "s", True),
        ("s: {tocsin.category|neq: Login - Failure}", "s", "s", True),
        ("s: {tocsin.category|neq: Login - Failure}", "s", "fp", False),
        ("s: {tocsin.category: Login - Failure}", "not s", "fp", False),
        ("s: {tocsin.category: Login - Failure}", "not s", "s", True),
        ("s: {tocsin.category: Login - Failure, data.ip: 192.0.2.1}", "s", "fp", True),
        ("s: {tocsin.category: Login - Failure, data.ip: 192.0.2.2}", "s", "fp", False),
        ("s: [{tocsin.category: Login - Failure}, {data.ip: 192.0.2.1}]", "s", "s", True),
    ],
)
def test_an_item_names_a_categorys_codes(
    detects: Callable[..., bool], selection: str, condition: str, code: str, matches: bool
) -> None:
    assert detects(selection, {"type": code, "ip": "192.0.2.1"}, condition) is matches


def test_an_item_narrows_the_codes_as_the_key_of_the_rule_does(load_text: Callable[..., RuleSet]) -> None:
    head = "title: t\nlogsource: {product: auth0}\ndetection:\n"
    item = load_text(f"{head}    s: {{tocsin.category: Login - Failure}}\n    condition: s\n")
    whole = load_text(
        f"{head}    s: {{data.type: '*'}}\n    condition: s\ntocsin: {{category: Login - Failure}}\n"
    )

    assert item.rules[0].matchers[0].codes == whole.rules[0].matchers[0].codes
    assert item.rules[0].matchers[0].matches is None


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("tocsin.categry", 'did you mean "tocsin.category"?'),
        ("tocsin.zz", "only tocsin.category can stand here; write the event's own"),
    ],
)
def test_a_field_called_like_one_of_our_keys_is_warned_of(
    load_text: Callable[..., RuleSet], field: str, hint: str
) -> None:
    ruleset = load_text(
        f"title: t\nlogsource: {{product: auth0}}\ndetection:\n    s: {{{field}: x}}\n    condition: s\n"
    )

    (warning,) = ruleset.warnings
    assert warning.message == f'no event has a field "{field}", so it is never there; {hint}'
    assert (warning.line, warning.column) == (4, 9)
