"""`tocsin quarantine list`: what was set aside, harmless to read."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tocsin.cli import quarantine
from tocsin.protocols import Quarantined
from tocsin.state.quarantine import MemoryQuarantine

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> MemoryQuarantine:
    made = MemoryQuarantine()

    @contextmanager
    def open_state(config):
        yield SimpleNamespace(quarantine=made)

    monkeypatch.setattr(quarantine, "open_state", open_state)
    return made


def _listed() -> list[str]:
    result = CliRunner().invoke(quarantine.app, ["list"])
    assert result.exit_code == 0
    return result.stdout.splitlines()


def test_each_record_is_one_line_with_its_reason(kept: MemoryQuarantine) -> None:
    kept.put("auth0", [Quarantined("not JSON", b'{"bad', 3)], NOW)

    assert _listed() == ['2026-03-01T12:00:00.000Z\tauth0\tnot JSON\t3\t{"bad']


def test_a_record_cannot_write_on_the_terminal_or_fill_it(kept: MemoryQuarantine) -> None:
    kept.put("auth0", [Quarantined("not JSON", b"\x1b[2J\xff\n\t" + b"x" * 900, 1)], NOW)

    (line,) = _listed()

    assert "\x1b" not in line
    assert line.count("\t") == 4
    assert line.endswith("x… (+707)")
