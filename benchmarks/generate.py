"""A day of Auth0 logs, the same for the same seed: what the benches read.

`mixed` is a busy tenant with some attackers: four fifths successes, a fifth failures spread over
50,000 addresses, 40 addresses that stuff credentials in bursts. `attack` is a tenant under fire:
nine tenths failures, from 400 bursts and 20,000 slow bots. Records are 1.2 to 1.5 KB, in time order.

    python -m benchmarks.generate --variant attack --events 1000000 attack.ndjson
"""

from __future__ import annotations

import argparse
import random  # noqa: TID251 - seeded
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

START = datetime(2026, 1, 15, tzinfo=UTC)
DAY_MS = 86_400_000
USERS = 200_000
SUCCESSES = ("s", "seacft", "sertft", "ssa", "slo", "sapi")
SUCCESS_WEIGHTS = (24, 24, 26, 14, 6, 6)
FAILURES = ("fp", "fu", "f", "fcoa")
FAILURE_WEIGHTS = (50, 20, 18, 12)
PROTECTION = ("limit_wc", "limit_mu", "pwd_leak", "gd_otp_rate_limit_exceed")
AGENTS = (
    "Chrome 134.0.0 / Windows 10.0.0",
    "Mobile Safari 17.4.1 / iOS 17.4.1",
    "Firefox 128.0.0 / Linux 0.0.0",
    "Other 0.0.0 / Other 0.0.0",
)


class Moment(NamedTuple):
    """One event to be: when, what, from where, who (an index of users)."""

    at_ms: int
    code: str
    ip: str
    user: int


def moments(rng: random.Random, events: int, variant: str) -> list[Moment]:
    """The plan of the day, in time order; exactly `events` long."""
    attacks = list(_bursts(rng, 400 if variant == "attack" else 40))
    if variant == "attack":
        bots = [_address(rng) for _ in range(20_000)]
        attacks = attacks[: events * 9 // 10]
        attacks += [_failure(rng, rng.choice(bots)) for _ in range(events * 9 // 10 - len(attacks))]
    attacks = attacks[:events]
    offices = [_address(rng) for _ in range(50_000)]
    attacks += [_background(rng, offices, variant) for _ in range(events - len(attacks))]
    return sorted(attacks)


def _bursts(rng: random.Random, count: int) -> Iterator[Moment]:
    for attacker in range(count):
        ip = f"198.51.{100 + attacker // 250}.{1 + attacker % 250}"
        tries = int(300 * 15 ** rng.random())
        length_ms = min(int(tries / rng.uniform(0.03, 6.0) * 1000), DAY_MS * 4 // 5)
        start = rng.randrange(DAY_MS - length_ms)
        for _ in range(tries):
            yield Moment(start + rng.randrange(length_ms), rng.choice(("fp", "fu")), ip, rng.randrange(USERS))


def _failure(rng: random.Random, ip: str) -> Moment:
    return Moment(rng.randrange(DAY_MS), rng.choice(("fp", "fu")), ip, rng.randrange(USERS))


def _background(rng: random.Random, offices: list[str], variant: str) -> Moment:
    kinds = (0.80, 0.19, 0.01) if variant == "mixed" else (0.78, 0.0, 0.22)
    kind = rng.choices(("success", "failure", "protection"), kinds)[0]
    if kind == "success":
        code = rng.choices(SUCCESSES, SUCCESS_WEIGHTS)[0]
    elif kind == "failure":
        code = rng.choices(FAILURES, FAILURE_WEIGHTS)[0]
    else:
        code = rng.choice(PROTECTION)
    office = int(len(offices) * rng.random() ** 1.5)
    return Moment(rng.randrange(DAY_MS), code, offices[office], (office * 4 + rng.randrange(5)) % USERS)


def _address(rng: random.Random) -> str:
    first = rng.choice((23, 45, 91, 185, 203))
    return f"{first}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def record(rng: random.Random, number: int, moment: Moment) -> dict[str, object]:
    """The log record of a moment."""
    at = START + timedelta(milliseconds=moment.at_ms)
    user = f"user{moment.user}@example.com"
    stamp = at.strftime("%Y%m%d%H%M%S") + f"{at.microsecond // 1000:03d}"
    message = "Wrong email or password." if moment.code in ("fp", "fu", "fcoa") else "Success"
    return {
        "date": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "type": moment.code,
        "description": message,
        "connection": "Username-Password-Authentication",
        "connection_id": "con_Qb8zJ1nVxW4kLr0T",
        "client_id": "k7Yp2mVt9QwErTyUiOpAsDfGhJkLzXcV",
        "client_name": rng.choice(("Customer Portal", "Mobile App", "Back Office", "Café Shop")),
        "ip": moment.ip,
        "user_agent": rng.choice(AGENTS),
        "details": _details(rng, moment, user, message),
        "hostname": "example-prod.eu.auth0.com",
        "user_id": "" if moment.code == "fu" else f"auth0|{moment.user:024x}",
        "user_name": user,
        "strategy": "auth0",
        "strategy_type": "database",
        "log_id": f"900{stamp}{number:036d}",
        "isMobile": False,
        "tenant_name": "example-prod",
        "environment_name": "prod-eu-1",
        "$event_schema": {"version": "1.0.0"},
        "security_context": {
            "ja3": f"{rng.getrandbits(128):032x}",
            "ja4": f"t13d1516h2_{rng.getrandbits(48):012x}",
        },
    }


def _details(rng: random.Random, moment: Moment, user: str, message: str) -> dict[str, object]:
    steps = [
        {
            "name": "prompt-authenticate",
            "connection": "Username-Password-Authentication",
            "elapsedTime": None,
        },
        {
            "name": "login",
            "flow": "universal-login",
            "user_name": user,
            "timers": {"rules": rng.randrange(500)},
        },
    ]
    return {
        "error": {"message": message, "reason": moment.code, "oauthError": "invalid_grant"},
        "prompts": steps,
        "body": {"username": user, "password": "*****", "tenant": "example-prod", "grant_type": "password"},
        "request": {"method": "POST", "path": "/usernamepassword/login", "channel": "https://example.com/"},
        "session_id": f"{rng.getrandbits(128):032x}",
        "initiatedAt": 1_768_000_000_000 + moment.at_ms,
        "completedAt": 1_768_000_000_321 + moment.at_ms,
        "elapsedTime": rng.randrange(900),
        "stats": {"loginsCount": rng.randrange(900)},
    }


def write(path: Path, *, events: int, variant: str, seed: int) -> None:
    """Write the day as NDJSON."""
    rng = random.Random(seed)
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for number, moment in enumerate(moments(rng, events, variant)):
            file.write(encode(record(rng, number, moment)) + b"\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--variant", choices=("mixed", "attack"), default="mixed")
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    write(given.file, events=given.events, variant=given.variant, seed=given.seed)


if __name__ == "__main__":
    main()
