"""The tests inside rule files say the same on a real server as in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tocsin.cli.rules import app
from tocsin.state.embedded import EmbeddedServer

RULE = """\
title: counted
logsource: {product: auth0}
detection: {s: {type: fp}, condition: s}
tocsin:
    correlate: {type: CORRELATION, group-by: [data.ip], timespan: 10m, condition: CONDITION}
    tests:
        - name: three
          events: [{repeat: 3, every: 1m, type: fp, ip: 192.0.2.1, user_name: 'u{n}'}]
          expect: [{at: AT, score: 3}]
        - name: the same again, so nothing is left of the test before
          events: [{repeat: 3, every: 1m, type: fp, ip: 192.0.2.1, user_name: 'u{n}'}]
          expect: [{at: AT, score: 3}]
        - name: one
          events: [{type: fp, ip: 192.0.2.1, user_name: u}]
          expect: []
"""
ROWS = [
    ("event_count", "{gte: 3}", "2m"),
    ("value_count", "{gte: 3, field: user_name}", "2m"),
    ("event_count", "{gt: 1, lt: 5}", "10m"),
    ("value_count", "{gt: 1, lt: 5, field: user_name}", "10m"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedServer(tmp_path_factory.mktemp("data"), appendfsync="no") as server:
        yield server.url


@pytest.mark.parametrize(("correlation", "condition", "at"), ROWS)
def test_a_rules_tests_pass_in_memory_and_on_a_server(
    tmp_path: Path, url: str, correlation: str, condition: str, at: str
) -> None:
    file = tmp_path / "rule.yml"
    text = RULE.replace("CORRELATION", correlation).replace("CONDITION", condition).replace("AT", at)
    file.write_text(text)

    result = CliRunner().invoke(app, ["test", str(file), "--store", url])

    assert (result.output, result.exit_code) == ("6 tests\n", 0)
