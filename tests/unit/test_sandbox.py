from __future__ import annotations

import time
import tracemalloc

import pytest

from tocsin import sandbox
from tocsin.sandbox import Sandbox, TemplateFailure, compile_template, render, render_block

CONTEXT = {
    "score": "200+",
    "n": 7,
    "user": "mallory",
    "group": {"data.ip": "203.0.113.9", "items": "a field of that name"},
    "values": [{"text": "ann", "count": 3}, {"text": "bob", "count": 1}],
    "none": None,
}


def rendered(source: str, **more: object) -> str:
    return render(compile_template(source), {**CONTEXT, **more})


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{{ score }} logins from {{ group["data.ip"] }}', "200+ logins from 203.0.113.9"),
        (
            "{% for v in values %}{{ v.text }} ({{ v.count }}){{ ', ' if not loop.last }}{% endfor %}",
            "ann (3), bob (1)",
        ),
        ("{% for v in values if v.count > 1 %}{{ loop.index }}/{{ loop.length }}{% endfor %}", "1/1"),
        ("{% for v in [] %}x{% else %}nothing{% endfor %}", "nothing"),
        ('{{ values | map(attribute="text") | join(", ") }}', "ann, bob"),
        ('{{ values | join("+", attribute="text") }}', "ann+bob"),
        ("{{ user ~ '@' ~ n }}", "mallory@7"),
        ("{{ user[:3] }}…{{ user[-2:] }}", "mal…ry"),
        ("{{ (values | list)[1].text }}", "bob"),
        ("{{ n + 1 }} {{ n * 2 }} {{ n // 2 }} {{ n % 2 }} {{ -n }}", "8 14 3 1 -7"),
        ("{{ '%05.1f' | format(3.14159) }}", "003.1"),
        ("{{ user | upper | replace('L', 'l') | truncate(4, true, '', 0) }}", "MAll"),
        ("{{ 3.14159 | round(2) }}", "3.14"),
        ("{{ missing | default('unknown') }}", "unknown"),
        ("{{ none }}", ""),
        ("{% set x = n + 1 %}{{ x }}", "8"),
        (
            "{% for k, v in group | dictsort %}{{ k }}={{ v }};{% endfor %}",
            "data.ip=203.0.113.9;items=a field of that name;",
        ),
        ("{% for c in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{{ 'yes' if user.startswith('m') else 'no' }}", "yes"),
        ("{{ values | sum(attribute='count') }}", "4"),
        ("{{ values | selectattr('count', 'gt', 1) | map(attribute='text') | first }}", "ann"),
    ],
)  # fmt: skip
def test_a_template_says_what_its_author_meant(source, text):
    assert rendered(source) == text


def test_text_of_an_event_is_never_a_template():
    hostile = "{{7*7}}{% for x in range(9) %}{{ config }}{% endfor %}"

    assert rendered("{{ user }}", user=hostile) == hostile


SSTI = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ user | attr('__class__') }}",
    "{{ values | map(attribute='__class__') | first }}",
    "{{ values | map(attribute='__class__.__init__.__globals__') | list }}",
    "{{ range.__init__.__globals__ }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__ }}",
    "{{ namespace.__init__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ lipsum() }}",
    "{{ namespace(a=1) }}",
    "{{ cycler('a') }}",
    "{{ dict(a=1) }}",
    "{{ config }}",
    "{{ request }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ '{0.__class__}'.format(user) }}",
    "{{ '{0.__class__}'.format_map(group) }}",
    "{{ ('{0.__class__}' ~ '').format(user) }}",
    "{{ ['{0.__class__}'] | map('format') | first }}{{ ['x'.format] | first }}",
    "{{ user.format.__self__ }}",
    "{{ user.encode() }}",
    "{{ user.upper.__call__() }}",
    "{{ values.append(1) }}",
    "{{ values.clear() }}",
    "{{ group.pop('items') }}",
    "{{ group.update({'a': 1}) }}",
    "{{ group.setdefault('a', 1) }}",
    "{{ loop }}",
    "{% for v in values %}{{ loop.__class__ }}{% endfor %}",
    "{% for v in values %}{{ loop._iterator }}{% endfor %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import popen %}",
    "{% extends 'x' %}",
    "{% macro m() %}x{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% set x %}x{% endset %}",
    "{% autoescape false %}x{% endautoescape %}",
    "{{ '<b>' | safe }}",
    "{{ user | pprint }}",
    "{{ values | random }}",
    "{{ user | xmlattr }}",
    "{{ user | urlize }}",
    "{{ values | tojson }}",
    "{{ values | groupby('__class__') }}",
    "{{ user.startswith }}",
    "{{ range }}",
    "{{ values }}",
    "{{ group }}",
    "{{ values | string }}",
    "{{ missing }}",
    "{{ user.missing }}",
    "{{ 1 / 0 }}",
    "{% if %}",
    "{{ unclosed",
]


@pytest.mark.parametrize("source", SSTI)
def test_a_template_cannot_reach_beyond_its_data(source):
    with pytest.raises(TemplateFailure):
        rendered(source)


def test_a_template_cannot_change_its_data():
    values = [1]
    with pytest.raises(TemplateFailure):
        rendered("{{ values.append(2) }}", values=values)
    assert values == [1]


DOUBLING = "".join("{% set a = a ~ a %}" for _ in range(60))
SQUARING = "".join("{% set x = x * x %}" for _ in range(60))
BOMBS = {
    "text times a number": "{{ 'a' * 10**9 }}",
    "text times a number, without a power": "{{ 'a' * 1000000000 }}",
    "a number times text": "{{ 1000000000 * 'a' }}",
    "a list times a number": "{{ [1] * 1000000000 }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "center, a method": "{{ 'a'.center(1000000000) }}",
    "ljust": "{{ 'a'.ljust(1000000000) }}",
    "zfill": "{{ 'a'.zfill(1000000000) }}",
    "expandtabs": "{{ '\\t'.expandtabs(1000000000) }}",
    "join, a method": "{{ ('a' ~ 'b').join('ccc') }}",
    "format": "{{ '%1000000000d' | format(1) }}",
    "format, precise": "{{ '%.1000000000f' | format(1) }}",
    "format, a width from data": "{{ '%*d' | format(1000000000, 1) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "format, a method": "{{ '{:1000000000}'.format(1) }}",
    "format, a width from an argument": "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "indent": "{{ 'a\nb' | indent(1000000000) }}",
    "indent by text": "{{ 'a\nb' | indent(user) }}",
    "wordwrap": "{{ 'a' | wordwrap(1000000000) }}",
    "batch": "{{ [1] | batch(1000000000, 'x') | list }}",
    "slice": "{{ [1] | slice(1000000000) | list }}",
    "a power": "{{ 10 ** 10 ** 10 }}",
    "a big number, squared": "{% set x = 123456789 %}" + SQUARING + "{{ x }}",
    "a long number in the source": "{{ " + "9" * 20_000 + " }}",
    "round to many digits": "{{ 1.5 | round(1000000000) }}",
    "round down to many digits": "{{ 1.5 | round(1000000000, 'floor') }}",
    "a long range": "{{ range(1000000000) | join }}",
    "a range beyond counting": "{{ range(10000000000000000000000) | length }}",
    "nested loops": "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}"
    "{% if a == -1 %}x{% endif %}{% endfor %}{% endfor %}{% endfor %}",
    "nested loops with output": "{% for a in range(1000) %}{% for b in range(1000) %}"
    "xxxxxxxxxx{% endfor %}{% endfor %}",
    "a loop that tests forever": "{% for a in range(1000) %}{% for b in range(1000) %}"
    "{% for c in range(1000) if c == -1 %}x{% endfor %}{% endfor %}{% endfor %}",
    "doubled text": "{% set a = 'aaaaaaaa' %}" + DOUBLING + "{{ a }}",
    "doubled text, never printed": "{% set a = 'aaaaaaaa' %}" + DOUBLING,
    "plus on text": "{% set a = 'aaaaaaaa' %}" + DOUBLING.replace("~", "+"),
    "replace that squares": "{% set a = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' %}"
    + "{% set a = a | replace('a', a) %}" * 5
    + "{{ a }}",
    "replace of nothing": "{% set a = user %}" + "{% set a = a | replace('', a) %}" * 9 + "{{ a }}",
    "a huge join": "{{ range(1000) | map('string') | join('" + "a" * 10_000 + "') }}",
    "a list of itself": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a | string }}",
    "a mapping of itself": "{% set a = {} %}" + "{% set a = {'x': a, 'y': a} %}" * 40 + "{{ a }}",
    "many big texts": "{% set a = '%099d' | format(1) %}" + "{% set a = a ~ a %}" * 8
    + "".join(f"{{% set b{n} = a ~ {n} %}}" for n in range(900)),
    "many lists": "{% set a = '%099d' | format(1) %}" + "{% set a = a ~ a %}" * 6
    + "".join(f"{{% set b{n} = a | list %}}" for n in range(900)),
    "many slices": "{% set a = '%099d' | format(1) %}" + "{% set a = a ~ a %}" * 8
    + "".join(f"{{% set b{n} = a[1:] %}}" for n in range(900)),
    "many methods": "{% set a = '%099d' | format(1) %}" + "{% set a = a ~ 'A' ~ a %}" * 8
    + "".join(f"{{% set b{n} = a.lower() %}}" for n in range(900)),
    "lipsum": "{{ lipsum(1000000) }}",
    "cycler": "{{ cycler(1) }}",
    "namespace": "{% set ns = namespace(a='a') %}"
    "{% for x in range(1000) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "a block that calls itself": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "a recursive loop": "{% for a in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
    "deep brackets": "{{ " + "(" * 9_000 + "1" + ")" * 9_000 + " }}",
    "deep lists": "{{ " + "[" * 9_000 + "]" * 9_000 + " }}",
    "deep sums": "{{ " + "1+" * 9_000 + "1 }}",
    "deep ifs": "{% if 1 %}" * 2_000 + "{% endif %}" * 2_000,
    "deep loops": "{% for a in [1] %}" * 300 + "{% endfor %}" * 300,
    "a long source": "a" * 1_000_000,
    "long output": "{% for a in range(1000) %}" + "a" * 100 + "{% endfor %}",
    "everything at once": "{{ (range(1000) | map('format', 1) | list) }}",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_put_out_quickly_and_small(bomb):
    began = time.thread_time()
    with pytest.raises(TemplateFailure):
        rendered(BOMBS[bomb])
    assert time.thread_time() - began < 1.1

    tracemalloc.start()
    with pytest.raises(TemplateFailure):
        rendered(BOMBS[bomb])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * 1024 * 1024


def test_a_slow_template_is_stopped_by_the_clock(monkeypatch):
    monkeypatch.setattr(sandbox, "MAX_SECONDS", 0.0)

    with pytest.raises(TemplateFailure, match="it ran longer than 0 s"):
        rendered("{% for x in range(1000) %}{% if x == -1 %}x{% endif %}{% endfor %}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{% if %}", "line 2: "),
        ("a\nb\n{% include 'x' %}", "line 3: include is not allowed"),
        ("{{ usre }}", "'usre' is undefined"),
        ("{{ user | uper }}", "line 1: No filter named 'uper'"),
        ("{{ user + 'x' }}", r"\+ is for numbers in a template; join text with ~"),
        ("{{ values }}", "a list cannot be printed; print its items"),
    ],
)
def test_a_failure_says_what_is_wrong_and_where(source, message):
    with pytest.raises(TemplateFailure, match=message):
        rendered(source)


def test_html_templates_escape_every_value_whatever_is_done_to_it():
    html = Sandbox(autoescape=True)
    evil = "<script>alert(1)</script>"
    for expression in [
        *("x", "x ~ ''", "x | upper", "x | trim", "[1] | join(x)", "x[0:]", "'%s' | format(x)", "x | title"),
        *("x | replace('a', '<')", "xs | join", "xs | first", "x | truncate(9)", "x | string", "x | d('')"),
    ]:
        text = render(
            compile_template("{{ " + expression + " }}", environment=html), {"x": evil, "xs": [evil, evil]}
        )
        assert "<" not in text, expression


def test_one_block_is_rendered_alone():
    template = compile_template("{% block a %}A{{ n }}{% endblock %}{% block b %}B{% endblock %}")

    assert [render_block(template, name, CONTEXT) for name in ("a", "b", "c")] == ["A7", "B", ""]
