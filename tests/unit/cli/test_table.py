"""Lists on a terminal: names stay whole at any width, and a pipe gets every column."""

from __future__ import annotations

import re

import pytest

from tocsin.cli.table import print_table

STYLES = re.compile("\x1b\\[[0-9;]*m")
COLUMNS = ("rule", "level", "codes")
NAME = "credential_stuffing_from_ip_shape"
ROWS = [(NAME, "informational", "gd_webauthn_challenge_failed gd_auth_failed"), ("short", "low", "fp")]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")

    def run(width: int, **options) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(COLUMNS, ROWS, empty="none", **options)
        return STYLES.sub("", capsys.readouterr().out).splitlines()

    return run


@pytest.mark.parametrize("width", [10, 40, 60, 80, 160])
@pytest.mark.parametrize("headed", [False, True])
@pytest.mark.parametrize("spare", [(), ("codes", "level")])
def test_a_name_is_never_broken(told, width: int, headed: bool, spare: tuple[str, ...]) -> None:
    words = " ".join(told(width, flowing=("codes",), headed=headed, spare=spare)).split()

    assert {NAME, "short"} <= set(words)
    assert "low" in words or "level" in spare
    assert {"gd_webauthn_challenge_failed", "gd_auth_failed"} <= set(words) or "codes" in spare


def test_what_fits_is_one_line_a_row(told) -> None:
    assert told(120) == [
        "rule                               level          codes                                      ",
        f"{NAME}  informational  gd_webauthn_challenge_failed gd_auth_failed",
        "short                              low            fp",
    ]


def test_a_column_that_flows_is_broken_between_words(told) -> None:
    assert told(80, flowing=("codes",))[1:] == [
        f"{NAME}  informational  gd_webauthn_challenge_failed",
        "                                                  gd_auth_failed",
        "short                              low            fp",
    ]


def test_spare_columns_give_way_and_are_named(told) -> None:
    lines = told(60, flowing=("codes",), spare=("level", "codes"))

    assert lines[1:3] == [f"{NAME}  informational", "short                              low"]
    assert (
        " ".join(" ".join(lines[3:]).split())
        == "left out, for want of width: codes; a pipe (| less -S) gets them all"
    )


def test_a_headed_list_says_the_first_column_once(told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROWS", [("a", "low", "fp"), ("a", "high", "fu"), ("b", "low", "s")])

    assert told(60, headed=True)[1:] == ["a", "  low    fp", "  high   fu", "b", "  low    s"]


def test_a_pipe_gets_every_column(told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR")

    assert told(20, flowing=("codes",), spare=("level", "codes"), headed=True) == [
        "\t".join(row) for row in ROWS
    ]
