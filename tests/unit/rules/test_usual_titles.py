"""Titles so simple that nobody need compile them to know that they compile."""

from __future__ import annotations

import pytest

from tocsin.rules.lints.headline import NAMES, USUAL
from tocsin.sandbox import compile_template

PLAIN = [name for name in NAMES if name not in ("group", "trigger", "params")]


@pytest.mark.parametrize(
    "title",
    [
        "Nothing to fill in",
        "} }} %} #} and other ends",
        "line {{ score }}\nand line",
        *(f"{{{{ {name} }}}} of {{{{ {name} }}}}" for name in PLAIN),
        '{{ score }} failed logins from {{ group["data.ip"] }} in {{ timespan }}',
        '{{ group["it\'s"] }}{{ group[""] }}',
    ],
)
def test_a_usual_title_compiles(title: str) -> None:
    assert USUAL.fullmatch(title)
    compile_template(title)


@pytest.mark.parametrize(
    "title",
    [
        "{", "{{", "{{ score", "{% if score %}", "{# a note #}", "{{score}}", "{{ not }}", "{{ scores }}",
        "{{ score + }}", '{{ group["a" }}', '{{ group["a\\"] }}', '{{ group["a"]["b"] }}', "{{- score }}",
        "{{ group }}", "{{ params.x }}", "{{ score | round }}", '{{ group["{{ score }}"] }}',
    ],
)  # fmt: skip
def test_any_other_title_is_compiled_to_know(title: str) -> None:
    assert not USUAL.fullmatch(title)
