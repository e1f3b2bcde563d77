"""What a newcomer sees first: `tocsin run --demo`, from its first line to Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOCSIN = Path(sys.executable).parent / "tocsin"
LAST_WORDS = "That was the attack"


def tocsin(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TOCSIN, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env=environment(folder),
    )  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": "/usr/bin:/bin", "TOCSIN_LISTEN": "127.0.0.1:0", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [TOCSIN, "run", "--demo"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=environment(tmp_path),
    ) as running:  # fmt: skip
        yield running
        running.kill()


def test_the_demo_shows_a_real_attack_and_ends_quietly(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    assert demo.stdout is not None
    shown: list[str] = []
    for line in demo.stdout:
        shown.append(line)
        if LAST_WORDS in line:
            break

    text = "".join(shown)
    assert "1,264 events of a real brute-force attack" in text
    assert "Ctrl-C" in text.partition("●")[0]
    for what in ("24.151.103.17", "49.4.143.105", "HIGH", "User names", "Since", "Score", "Rule", "Runbook"):
        assert what in text
    assert "Traceback" not in text
    assert "\x1b" not in text

    listed = tocsin(tmp_path, "alerts", "list")
    alerts = int(re.search(r"(\d+) alerts", shown[-1])[1])  # type: ignore[index]
    assert len(listed.stdout.splitlines()) == alerts
    assert listed.stderr == "tocsin: this is the demo's state, in data/demo\n"

    second = tocsin(tmp_path, "run", "--demo")
    assert second.returncode == 75
    assert second.stderr.count("\n") == 1
    assert len(tocsin(tmp_path, "alerts", "list").stdout.splitlines()) == alerts  # it erased nothing

    demo.send_signal(signal.SIGINT)
    assert demo.wait(20) == 0
    assert "Still listening" in demo.stdout.read()
    assert len(tocsin(tmp_path, "alerts", "list").stdout.splitlines()) == alerts  # and all is still there


def test_the_demo_leaves_the_real_channels_and_the_real_store_alone(tmp_path: Path) -> None:
    from tocsin.cli.demo import demo_settings
    from tocsin.settings import load_settings

    config = tmp_path / "tocsin.yml"
    config.write_text(
        "redis_url: redis://127.0.0.1:1\n"
        "channels: {oncall: {type: slack, webhook_url: {env: NONE}}}\n"
        "heartbeat: {channel: oncall, every: 1m}\n"
        "sources: {tenant: {type: auth0_stream, tokens: [{env: NONE}]}}\n"
    )

    settings = demo_settings(load_settings(config))

    assert settings.redis_url is None
    assert list(settings.channels.values()) == [{"type": "console"}]
    assert settings.heartbeat is None
    assert list(settings.sources) == ["auth0"]
    assert settings.data_dir.name == "demo"
