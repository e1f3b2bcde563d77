"""One attacker at three doors: Auth0, Frontegg and a server's ECS documents, replayed as one stream."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tocsin.cli.main import app

RULES = Path(__file__).parents[2] / "rules"
START = datetime(2025, 1, 6, 12, tzinfo=UTC)


def at(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


def auth0(n: int, second: int, **more: Any) -> dict[str, Any]:
    record = {"log_id": f"a{n}", "date": at(second), "type": "fp", "user_name": f"u{n}@example.com"}
    return {"log_id": f"a{n}", "data": {**record, "ip": "203.0.113.9", **more}}


def frontegg(n: int, second: int, **more: Any) -> dict[str, Any]:
    record = {"frontegg_id": f"f{n}", "createdAt": at(second), "eventKey": "login.invalid_password"}
    return {**record, "ip": "203.0.113.9", "email": f"u{n}@example.com", "status": "FAILED", **more}


def document(n: int, second: int, outcome: str = "failure") -> dict[str, Any]:
    return {
        "@timestamp": at(second),
        "event": {"id": f"d{n}", "category": ["authentication"], "outcome": outcome, "action": "ssh_login"},
        "source": {"ip": "203.0.113.9"},
        "user.name": f"u{n}",
    }


def replayed(folder: Path, *rules: str) -> list[dict[str, Any]]:
    files = {
        "auth0": [auth0(n, 10 * n) for n in range(8)] + [auth0(99, 5, type="s", ip="198.51.100.1")],
        "frontegg": [frontegg(n, 10 * n + 3) for n in range(8)]
        + [frontegg(99, 6, status="SUCCESS", ip="198.51.100.1")],
        "documents": [document(n, 10 * n + 6) for n in range(8)] + [document(99, 120, "success")],
    }
    for name, records in files.items():
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in reversed(records)))
    names = [str(folder / name) for name in files]
    asked = ["--rules", *(str(RULES / "ecs" / f"{rule}.yml") for rule in rules)]
    result = CliRunner().invoke(
        app, ["replay", *names, *asked, "--format", "json", "--allowed-lateness", "5m"]
    )
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_tries_at_every_provider_are_one_alert_in_ecs_names(tmp_path: Path) -> None:
    told = replayed(tmp_path, "ecs_failed_logins_from_ip")

    opened, *rest = [alert for alert in told if alert["status"] == "firing"]
    assert opened["group"] == {"source.ip": "203.0.113.9"}
    assert opened["score"] == 20
    assert opened["started_at"] == "2025-01-06T12:01:03.000Z"
    assert rest == []
    last = told[-1]
    assert {value["value"] for value in last["evidence"]["event.provider"]} == {"auth0", "frontegg"}
    assert {value["value"] for value in last["evidence"]["event.code"]} == {"fp", "login.invalid_password"}
    assert {"u1", "u1@example.com"} <= {value["value"] for value in last["evidence"]["user.name"]}


def test_a_login_to_a_server_after_failures_elsewhere_is_told(tmp_path: Path) -> None:
    told = replayed(tmp_path, "ecs_login_after_failures")

    assert told[0]["group"] == {"source.ip": "203.0.113.9"}
    assert (told[0]["started_at"], told[0]["score"]) == ("2025-01-06T12:02:00.000Z", 2)
    assert "u99" in {value["value"] for value in told[0]["evidence"]["user.name"]}
