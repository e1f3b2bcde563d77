"""The catalogue holds what its sources hold, and finds what people and rule files ask for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tocsin.catalog import PROVIDERS, categories, codes, everything, expand_category, nearest_code, search

SEEDS = Path(__file__).parents[2] / "data" / "seeds"

# How each seed document writes a code, at the start of its table's rows.
TABLES = {
    "000": r"^([a-z][a-z_]*) \|",
    "001": r"^\| `([a-z_]+)` *\|",
    "002": r"^([a-z_]+) [A-Z]",
    "003": r"<td><code>([a-z_]+)</code></td>",
    "004": r"^([a-z_]+\.[a-z_]+?)(?:[A-Z]|reC)",
}


def codes_of(seed: str) -> set[str]:
    [file] = SEEDS.glob(f"{seed}_*")
    text = file.read_text(encoding="utf-8")
    if seed == "002":
        text = text[text.index("Event Code Event ") :]
    return set(re.findall(TABLES[seed], text, re.MULTILINE))


@pytest.mark.parametrize(
    ("seed", "provider", "count"),
    [
        ("000", "auth0", 84),
        ("001", "auth0", 98),
        ("002", "auth0", 94),
        ("003", "auth0", 70),
        ("004", "frontegg", 20),
    ],
)
def test_every_code_of_each_seed_document_is_known(seed, provider, count):
    found = codes_of(seed)

    assert len(found) == count
    assert found <= set(codes(provider))


def test_there_are_223_codes():
    assert (len(codes("auth0")), len(codes("frontegg"))) == (194, 29)
    assert len(everything()) == 223


def test_every_code_says_what_it_is():
    for code in everything():
        assert code.provider in PROVIDERS
        assert code.name
        assert code.description
        assert code.outcome in {"success", "failure", "warning", "notification"}
        assert code.notes == code.notes.strip()


def test_the_prioritised_stream_carries_eight_codes():
    prioritised = {code.code for code in codes("auth0").values() if code.prioritized}

    assert prioritised == {
        "limit_mu", "limit_sul", "limit_wc", "pwd_leak",
        "signup_pwd_leak", "reset_pwd_leak", "ublkdu", "gd_send_sms",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Login - Failure", "login - failure", "LOGIN-FAILURE", "auth.login.fail"])
def test_a_category_expands_to_its_codes_however_it_is_written(name):
    assert expand_category("auth0", name) == {"f", "fc", "fco", "fcoa", "fens", "fp", "fu"}


def test_a_code_under_two_headings_is_in_both():
    assert "login.email_sent" in expand_category("frontegg", "Success events")
    assert "login.email_sent" in expand_category("frontegg", "Error events")


@pytest.mark.parametrize(
    ("provider", "name", "hint"),
    [
        ("auth0", "Login - Failures", "did you mean 'Login - Failure'?"),
        ("auth0", "zzz", "known are Action Execution - Failure, Login - Failure"),
        ("okta", "Login - Failure", "no event catalogue for 'okta'; categories exist for auth0, frontegg"),
    ],
)
def test_an_unknown_category_is_an_error_that_helps(provider, name, hint):
    with pytest.raises(KeyError) as caught:
        expand_category(provider, name)

    assert hint in caught.value.args[0]


@pytest.mark.parametrize(
    ("provider", "code", "nearest"),
    [
        ("auth0", "limit_wx", "limit_wc"),
        ("auth0", "FP", "fp"),
        ("auth0", "fp", "fp"),
        ("auth0", "pwdleak", "pwd_leak"),
        ("frontegg", "login.complete", "login.completed"),
        ("auth0", "entirely different", None),
        ("okta", "fp", None),
        ("auth0", "", None),
    ],
)
def test_the_nearest_code_of_a_typo(provider, code, nearest):
    assert nearest_code(provider, code) == nearest


def test_a_word_finds_codes_by_name_description_and_category():
    assert {"pwd_leak", "signup_pwd_leak", "reset_pwd_leak"} <= {code.code for code in search("LEAK")}
    assert {code.provider for code in search("password")} == {"auth0", "frontegg"}
    assert {"s"} <= {code.code for code in search("Login - Success")}
    assert search("no such word anywhere") == []


def test_a_provider_without_a_catalogue_has_no_codes():
    assert dict(codes("okta")) == {}
    assert dict(categories("okta")) == {}


def test_the_catalogue_cannot_be_changed_by_its_readers():
    with pytest.raises(TypeError):
        codes("auth0")["new"] = None
    with pytest.raises(AttributeError):
        codes("auth0")["fp"].name = "other"


def test_ecs_names_lead_to_vendor_fields():
    assert PROVIDERS["auth0"].ecs["source.ip"][0] == "ip"
    assert PROVIDERS["frontegg"].ecs["user_agent.original"] == ("userAgent",)
    for provider in (PROVIDERS["auth0"], PROVIDERS["frontegg"]):
        assert {"source.ip", "user.name", "user.id", "user_agent.original"} <= set(provider.ecs)
