"""`make bench`: events a second and peak memory of the real command line, as a table.

Every figure is a whole process, `tocsin replay` on a generated day, output thrown away. Beside it
stands the floor of all replaying: a typed decode of the same file and nothing else. The machine's
speed drifts, so compare the ratios of one table, not the seconds of two; on a busy machine, those of
processor time (of the command alone: a Redis server's is not in it).

    make bench                          # 200,000 events
    python -m benchmarks.bench --events 1000000 --runs 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tocsin.state.embedded import EmbeddedServer

TEN_RULES = Path(__file__).parent / "ten_rules.yml"


class Cost(NamedTuple):
    """What one run cost: wall and processor seconds, and the peak memory of the process in MB."""

    seconds: float
    cpu_seconds: float
    megabytes: float


def run(command: Sequence[str]) -> Cost:
    """Run it, output thrown away; the operating system's own account of it."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        errors = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode()}")
    seconds = time.perf_counter() - started
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(command: Sequence[str], runs: int) -> Cost:
    """The median of each figure over some runs."""
    costs = [run(command) for _ in range(runs)]
    return Cost(*map(statistics.median, zip(*costs, strict=True)))


def rows(file: Path, runs: int, store: str) -> list[tuple[str, Cost]]:
    """The commands that are measured on one file."""
    replay = [sys.executable, "-m", "tocsin", "replay", str(file), "--format", "json"]
    ten = [*replay, "--rules", str(TEN_RULES)]
    return [
        ("typed decode only", median([sys.executable, "-m", "benchmarks.decode", str(file)], runs)),
        ("10 rules (4 windowed), memory", median(ten, runs)),
        ("10 rules (4 windowed), Redis", median([*ten, "--store", store], runs)),
        ("every shipped rule, memory", median(replay, runs)),
        ("every shipped rule, Redis", median([*replay, "--store", store], runs)),
    ]


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-bench-")))
        server = stack.enter_context(EmbeddedServer(folder / "store", maxmemory="2gb"))
        for variant in ("mixed", "attack"):
            file = folder / f"{variant}.ndjson"
            _generate(file, given.events, variant)
            _print(variant, given.events, rows(file, given.runs, server.url))


def _generate(file: Path, events: int, variant: str) -> None:
    """In a process of its own: a child's peak memory is never told as less than what its parent had."""
    options = ["--events", str(events), "--variant", variant]
    subprocess.run([sys.executable, "-m", "benchmarks.generate", *options, str(file)], check=True)


def _print(variant: str, events: int, measured: list[tuple[str, Cost]]) -> None:
    floor = measured[0][1]
    table = Table(title=f"{variant}: {events:,} events; Redis = embedded Valkey, appendfsync always")
    for heading in ("", "events/s", "times a decode", "in CPU time", "peak MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, cost in measured:
        ratios = cost.seconds / floor.seconds, cost.cpu_seconds / floor.cpu_seconds
        speed = f"{events / cost.seconds:,.0f}"
        table.add_row(name, speed, *(f"{ratio:.1f}" for ratio in ratios), f"{cost.megabytes:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
