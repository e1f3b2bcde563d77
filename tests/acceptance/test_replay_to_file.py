"""`tocsin replay FILE > OUT` on a terminal: the bar is for the person, the alerts are for the file."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ATTACK = ROOT / "src/tocsin/sources/demo/ssh_attack_as_auth0.ndjson"


@pytest.mark.parametrize("form", ["text", "json"])
def test_alerts_go_to_the_file_while_a_bar_runs_on_the_terminal(tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    master, terminal = pty.openpty()
    command = [Path(sys.executable).parent / "tocsin", "replay", ATTACK, "--format", form]

    with closing(os.fdopen(master, "rb", buffering=0)) as screen, out.open("wb") as file:
        with subprocess.Popen(command, stdout=file, stderr=terminal, env={"TERM": "xterm"}) as running:
            os.close(terminal)
            seen = _all(screen)
        assert running.returncode == 0

    assert len(out.read_text().splitlines()) > 30
    assert b"1,264 events" in seen
    assert b"failed_logins" not in seen


def _all(screen: object) -> bytes:
    seen = b""
    try:
        while piece := screen.read(65_536):  # type: ignore[attr-defined]
            seen += piece
    except OSError:  # Linux says so when the other side is closed
        pass
    return seen
