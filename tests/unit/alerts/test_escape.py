from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alerts.escape import clean, clean_lines, cut, cut_mrkdwn, defang, for_slack

anything = st.text(st.characters(exclude_categories=()), max_size=400)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\r\nc\rd\u2028e\x85f", "a␤b␤c␤d␤e␤f"),
        ("a\tb", "a b"),
        ("\x1b[2J\x1b[31mred\x07\x9b1m", "[2J[31mred1m"),
        ("admin\u202egpj.exe", "admingpj.exe"),
        ("\u2066isolated\u2069", "isolated"),
        ("ad\u200bm\u200din\ufeff\u00ad", "admin"),
        ("\U000e0041hidden tag", "hidden tag"),
        ("half\ud800", "half"),
        ("  spaces  ", "spaces"),
        ("naïve 用户 😀", "naïve 用户 😀"),
    ],
)
def test_what_is_shown_of_a_value_is_one_visible_line(text, shown):
    assert clean(text) == shown


def test_a_long_value_is_cut_and_says_by_how_much():
    assert clean("a" * 300) == "a" * 248 + "… (+52)"
    assert clean("a" * 5_000_000) == "a" * 244 + "… (+4999756)"


@given(anything, st.integers(20, 300))
def test_no_value_is_longer_than_its_limit_or_holds_anything_unseen(text, limit):
    shown = clean(text, limit)

    assert len(shown) <= limit
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]
    assert not [
        c
        for c in shown
        if unicodedata.bidirectional(c) in {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
    ]


@given(anything)
def test_cleaning_what_is_clean_changes_nothing(text):
    assert clean(clean(text)) == clean(text)


def test_a_rules_own_text_keeps_its_lines():
    assert clean_lines("1. look\r\n2. \x1b[2Jblock\n\n", 100) == "1. look\n2. [2Jblock"
    assert len(clean_lines("line\n" * 1000, 100)) <= 100


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("http://evil.example/a.b?c=d.e", "hxxp://evil[.]example/a.b?c=d.e"),
        ("see HTTPS://EVIL.example", "see hxxps://EVIL[.]example"),
        ("ftp://a.b and tel://c.d", "ftp[:]://a[.]b and tel[:]://c[.]d"),
        ("hTTp://a.b", "hxxp://a[.]b"),
        ("www.evil.example", "www[.]evil.example"),
        ("ann@example.com", "ann@example.com"),
        ("203.0.113.9", "203.0.113.9"),
        ("Mozilla/5.0 (+http://bot.example/)", "Mozilla/5.0 (+hxxp://bot[.]example/)"),
    ],
)
def test_urls_cannot_be_clicked(text, dead):
    assert defang(text) == dead
    assert defang(dead) == dead


@given(anything)
def test_text_for_slack_holds_nothing_that_slack_would_read(text):
    escaped = for_slack(text)

    assert not set("<>`") & set(escaped)
    assert escaped.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").count("&") == 0


@given(st.text("&<>a`*", max_size=300), st.integers(60, 200))
def test_cutting_slack_text_leaves_no_half_entity_and_no_open_code(text, limit):
    shown = cut_mrkdwn("`" + for_slack(text) + "`", limit)

    assert len(shown) <= limit
    assert shown.count("`") % 2 == 0
    assert shown.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").count("&") == 0


def test_a_cut_says_how_much_is_missing():
    assert cut("abcdefghijklmnopqrstuvwxyz", 20) == "abcdefghijklm… (+13)"
    assert cut_mrkdwn("a" * 5000, 3000) == "a" * 2979 + "… (+2021 characters)"
