"""How long it takes to load and check many rules: 3,000 files, each another, written as people write them.

Six in ten are plain Sigma detections with many modifiers, about 45 lines each, as in the big public
collections; a quarter are like the shipped rules (params, a correlation, an alert, tests); the rest
are Sigma correlations over a base rule of the same file. Seconds are of one processor.

    python -m benchmarks.rules                       # load_rules and `tocsin rules check`
    python -m benchmarks.rules --profile             # where load_rules spends its time
    python -m benchmarks.rules --write FOLDER        # the files alone
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random  # noqa: TID251 - seeded
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks.bench import run
from benchmarks.generate import AGENTS

LIMIT_S = 3.0
CODES = (
    "fp",
    "fu",
    "f",
    "s",
    "seacft",
    "sertft",
    "sapi",
    "limit_wc",
    "limit_mu",
    "pwd_leak",
    "fcoa",
    "ss",
    "fs",
)
TACTICS = ("credential-access", "initial-access", "persistence", "defense-evasion", "discovery", "execution")
WORDS = (
    "account", "admin", "agent", "bypass", "campaign", "client", "command", "connection", "device",
    "domain", "endpoint", "export", "factor", "grant", "header", "invite", "key", "login", "member",
    "network", "office", "password", "policy", "proxy", "recovery", "refresh", "role", "scope", "script",
    "secret", "token",
)  # fmt: skip

DETECTION = """\
title: {title}
id: {id}
related:
    - id: {other}
      type: similar
status: test
description: >
    Detects {words[0]} {words[1]} activity by way of the {words[2]}, which an operator of the {words[3]} uses
    seldom, and an intruder who has taken over the {words[4]} uses early.
references:
    - https://example.com/research/{words[5]}-{number}
    - https://example.org/blog/{words[6]}/{number}
author: A. Author, B. Author
date: 2025-11-21
modified: 2026-02-01
tags:
    - attack.{tactic}
    - attack.t1{technique:03d}
logsource:
    product: auth0
detection:
    selection_code:
        data.type: [{codes[0]}, {codes[1]}]
    selection_text:
        data.description|contains:
            - ' {words[7]}-{number} '
            - '{words[8]} {words[9]}'
            - '/{words[10]}/'
        data.client_name|startswith: '{words[11]} '
        data.user_agent|endswith: '{agent}'
    selection_details:
        - data.details.request.path|contains|all:
              - /api/v2/{words[12]}
              - {words[13]}
        - data.details.body.{words[14]}|re: '^{words[15]}[0-9]{{2,8}}-(?:{words[0]}|{words[1]})$'
        - data.details.response.statusCode|gte: {status}
    filter_main_network:
        data.ip|cidr:
            - 10.{octet}.0.0/16
            - 192.0.2.0/24
    filter_main_service:
        data.user_name|endswith:
            - '@{words[2]}.example.com'
            - '@{words[3]}.example.org'
    filter_optional_empty:
        data.client_id: null
    condition: selection_code and 1 of selection_* and not 1 of filter_main_* and not filter_optional_empty
falsepositives:
    - Administrators who work on the {words[4]}
    - Scripts of the {words[5]} team
level: {level}
"""

SHORTHAND = """\
title: {title}
id: {id}
name: {name}
status: stable
description: >
    One address keeps on with {words[0]} and {words[1]}: look whether it succeeded since it began.
references:
    - https://example.com/docs/{words[2]}/{number}
author: A. Author
date: 2026-11-21
tags: [attack.{tactic}, attack.t1{technique:03d}]
logsource: {{product: auth0}}
detection:
    failed:
        data.type: [{codes[0]}, {codes[1]}]
    ours:
        data.ip|cidr: 10.{octet}.0.0/16
    of_client:
        data.client_name|contains: {words[3]} {number}
    condition: failed and of_client and not ours
falsepositives:
    - an office with many people behind one address
level: {level}
tocsin:
    params:
        threshold: {{default: {threshold}, min: 5, max: 1000, help: events from one address}}
        window: {{default: {minutes}m, help: within this time}}
    correlate:
        type: event_count
        group-by: [data.ip]
        timespan: $window
        condition: {{gte: $threshold}}
    alert:
        title: '{{{{ score }}}} {words[4]} events from {{{{ group["data.ip"] }}}} in {{{{ timespan }}}}'
        severity: [{{gte: 1000, is: critical}}]
        resolve_after: 1h
        labels: {{category: {words[5]}}}
        runbook: |
            1. Search the tenant log for the address since the alert began.
            2. Read the user names in the evidence: many names, few tries each, is spraying.
            3. Not an address of ours: block it.
        context: [data.user_name, data.user_agent, data.client_name, data.connection]
    tests:
        - name: enough in time is one alert
          events:
              - at: 0s
                repeat: {threshold}
                every: 1s
                type: {codes[0]}
                ip: 203.0.113.9
                client_name: {words[3]} {number}
          expect:
              - {{at: {last}s, group: {{data.ip: 203.0.113.9}}, score: {threshold}, severity: {level}}}
        - name: another client
          events:
              - {{at: 0s, repeat: 50, every: 1s, type: {codes[0]}, ip: 203.0.113.9, client_name: other}}
          expect: []
"""

CORRELATION = """\
title: {title}
id: {id}
name: {name}
status: test
logsource: {{product: auth0}}
detection:
    selection:
        data.type: {codes[0]}
        data.connection|contains: {words[0]}-{number}
        data.strategy|cased: {words[1]}
        data.hostname|fieldref|endswith: data.details.request.{words[2]}
    condition: selection
---
title: {title}, by many users
id: {other}
status: test
description: Many users of {words[3]} in a short time.
author: A. Author
tags: [attack.{tactic}, attack.t1{technique:03d}]
correlation:
    type: value_count
    rules: [{name}]
    group-by: [data.ip]
    timespan: {minutes}m
    condition: {{gte: {threshold}, field: data.user_name}}
falsepositives: [a migration of {words[4]}]
level: {level}
"""


def rule(rng: random.Random, number: int) -> str:
    """A rule file's text; no two alike."""
    words = rng.sample(WORDS, 16)
    template = rng.choices((DETECTION, SHORTHAND, CORRELATION), (60, 25, 15))[0]
    threshold = rng.randrange(5, 40)
    return template.format(
        title=f"{words[0].title()} {words[1]} by way of the {words[2]}, number {number}",
        name=f"{words[0]}_{words[1]}_{number}",
        id=uuid.UUID(int=rng.getrandbits(128), version=4),
        other=uuid.UUID(int=rng.getrandbits(128), version=4),
        number=number,
        words=words,
        codes=rng.sample(CODES, 2),
        agent=rng.choice(AGENTS),
        tactic=rng.choice(TACTICS),
        technique=rng.randrange(1000),
        status=rng.choice((200, 400, 403, 500)),
        octet=rng.randrange(256),
        level=rng.choice(("low", "medium", "high")),
        threshold=threshold,
        last=threshold - 1,
        minutes=rng.randrange(5, 60),
    )


def write(folder: Path, rules: int, seed: int) -> None:
    """Write the files, a hundred a folder."""
    rng = random.Random(seed)
    for number in range(rules):
        path = folder / f"{number // 100:02d}" / f"rule_{number:05d}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rule(rng, number), encoding="utf-8")


def set_up() -> None:
    """Collect garbage as seldom as the command line does."""
    from tocsin.cli.main import OBJECTS_BETWEEN_COLLECTIONS

    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, 50, 50)


def load_seconds(folder: Path) -> float:
    """What `load_rules` takes, in a process that has imported it, set up as the command line does."""
    from tocsin.rules.load import load_rules

    set_up()
    started = time.process_time()
    load_rules([folder])
    return time.process_time() - started


def check_seconds(folder: Path) -> float:
    """What `tocsin rules check` takes, start to end."""
    command = [sys.executable, "-m", "tocsin", "rules", "check", str(folder)]
    return run(command).cpu_seconds


def profile(folder: Path) -> None:
    """Print the functions that `load_rules` spends most of its time in."""
    from tocsin.rules.load import load_rules

    set_up()
    profiler = cProfile.Profile()
    profiler.runcall(load_rules, [folder])
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", type=int, default=3_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    if given.write:
        write(given.write, given.rules, given.seed)
        return
    with tempfile.TemporaryDirectory(prefix="tocsin-rules-") as name:
        folder = Path(name)
        write(folder, given.rules, given.seed)
        if given.profile:
            profile(folder)
            return
        loads = [load_seconds(folder) for _ in range(given.runs)]
        checks = [check_seconds(folder) for _ in range(given.runs)]
    for what, seconds in (("load_rules", loads), ("tocsin rules check", checks)):
        told = f"{min(seconds):6.2f} s at best, {statistics.median(seconds):.2f} s in the middle"
        print(f"{what:<20}{given.rules:>7,} rules {told}   (limit {LIMIT_S:.0f} s for 3,000)")


if __name__ == "__main__":
    main()
