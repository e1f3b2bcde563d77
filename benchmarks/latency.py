"""From a record's 204 to the begin of the channel's request, on an idle system: the real service.

    python -m benchmarks.latency --alerts 200

Each record makes an alert of its own, in a group of its own, told at once to a receiver on loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2

RULES = """
title: Address throttled
name: throttled
logsource: {product: auth0}
detection: {throttled: {data.type: limit_mu}, condition: throttled}
level: high
tocsin: {alert: {key: [data.ip]}}
"""
ROUTING = "route: {channels: [hook], group_by: [entity], group_wait: 0s}\n"
SETTINGS = """
data_dir: data
rules: [rules.yml]
routing: routing.yml
listen: 127.0.0.1:0
channels:
  hook: {{type: webhook, url: 'http://127.0.0.1:{port}/', allow_private_cidrs: [127.0.0.0/8]}}
"""


class Receiver(HTTPServer):
    """Notes when a request about which address began."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.began: dict[str, float] = {}
        self.came = threading.Condition()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        began = time.perf_counter()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.came:
            for alert in body["alerts"]:
                self.server.began.setdefault(alert["group"]["data.ip"], began)
            self.server.came.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def measure(folder: Path, alerts: int) -> list[float]:
    """Milliseconds of each alert."""
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    (folder / "rules.yml").write_text(RULES)
    (folder / "routing.yml").write_text(ROUTING)
    (folder / "tocsin.yml").write_text(SETTINGS.format(port=receiver.server_port))
    command = [sys.executable, "-m", "tocsin", "run", "--config", str(folder / "tocsin.yml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        try:
            url = f"http://{_address(service)}/v1/ingest/auth0"
            return [_one(receiver, url, number) for number in range(alerts)]
        finally:
            service.send_signal(signal.SIGTERM)


def _address(service: subprocess.Popen[str]) -> str:
    for line in service.stderr or ():
        if '"receiver.listening"' in line:
            threading.Thread(target=service.stderr.read, daemon=True).start()  # type: ignore[union-attr]
            return str(json.loads(line)["address"])
    raise SystemExit("the service did not start")


def _one(receiver: Receiver, url: str, number: int) -> float:
    ip = f"203.0.{number // 250}.{number % 250 + 1}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds")  # noqa: TID251 - a sender's clock
    record = {"log_id": f"latency-{os.getpid()}-{number}", "date": now, "type": "limit_mu", "ip": ip}
    httpx2.post(url, json=record).raise_for_status()
    accepted = time.perf_counter()
    with receiver.came:
        if not receiver.came.wait_for(lambda: ip in receiver.began, timeout=30):
            raise SystemExit(f"no notification about {ip} within 30 s")
    return (receiver.began[ip] - accepted) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--alerts", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-latency-") as folder:
        took = sorted(measure(Path(folder), given.alerts))
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    print(f"{len(took)} alerts, from 204 to the request: p50 {p50:.0f} ms, p99 {p99:.0f} ms")


if __name__ == "__main__":
    main()
