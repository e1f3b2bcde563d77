"""`tocsin replay --store URL`: a server that was lent is given back as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tocsin.sources.file import demo_records
from tocsin.state.connection import Store

DEADLINE_S = 60


def _replay(url: str, file: str = "-", **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tocsin", "replay", file, "--store", url, "--format", "json"]
    options.setdefault("stdout", subprocess.PIPE)
    # What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        command,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread
        **options,
    )


def _left(store: Store) -> list[bytes]:
    return list(store.client.scan_iter(match=b"tocsin-replay-*", count=1000))


def _until(ask: object, what: str) -> None:
    tick = threading.Event()
    for _ in range(DEADLINE_S * 50):
        if ask():  # type: ignore[operator]
            return
        tick.wait(0.02)
    pytest.fail(what)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_replay_that_is_ended_half_way_leaves_nothing_behind(store: Store, number: int) -> None:
    url = store.shown
    with _replay(url, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(demo_records())
        process.stdin.flush()
        _until(lambda: len(_left(store)) > 1, "nothing was counted on the server")

        os.kill(process.pid, number)
        process.wait(DEADLINE_S)
        process.stdin.close()

    assert process.returncode != 0
    assert _left(store) == []


def test_memory_and_a_server_say_the_same_of_the_attack_and_it_is_left_clean(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "attack.ndjson"
    file.write_bytes(demo_records())
    outputs = []
    for url in ("memory", store.shown):
        with _replay(url, str(file)) as process:
            assert process.stdout is not None
            outputs.append(process.stdout.read())

    assert outputs[0] == outputs[1] != b""
    assert _left(store) == []
