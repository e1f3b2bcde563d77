"""`tocsin`, but mortal: it kills itself at a given point, and may have a given mistake. For test_kill.

`python mortal.py '{"die_at": 7, "mistake": "commits_first"}' run --config …`

`die_at` N: at the Nth call of the store by a loop, before it is sent (even) or after its answer (odd).
`die_after_commit`: after the first position is committed. `die_in_put` N: inside the Nth `Outbox.put`.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import redis
from redis.client import Pipeline

from tocsin.__main__ import main
from tocsin.loops import Detect
from tocsin.model.notification import LastNotified, Notification
from tocsin.protocols import Batch
from tocsin.state.outbox_redis import RedisOutbox, _pair
from tocsin.state.positions import RedisPositions

LOOPS = ("detect", "notify", "deliver")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(limit: int) -> None:
    calls = itertools.count(1)

    def mortal(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            watched = threading.current_thread().name.startswith(LOOPS) and "XREAD" not in args
            now = watched and next(calls) == limit
            if now and limit % 2 == 0:
                die()
            try:
                return call(*args, **kwargs)
            finally:
                if now:
                    die()

        return wrapped

    redis.Redis.execute_command = mortal(redis.Redis.execute_command)  # type: ignore[method-assign]
    Pipeline.execute = mortal(Pipeline.execute)  # type: ignore[method-assign]


def die_after_commit() -> None:
    commit = RedisPositions.commit

    def mortal(self: RedisPositions, *args: Any) -> None:
        commit(self, *args)
        die()

    RedisPositions.commit = mortal  # type: ignore[method-assign]


def commits_first() -> None:
    """The mistake: a batch counts as done before it was evaluated."""
    step = Detect.step

    def mistaken(self: Detect, batch: Batch) -> None:
        if batch.events:
            self.positions.commit(self.source.name, batch.position, {})
        step(self, batch)

    Detect.step = mistaken  # type: ignore[method-assign]


def puts_twice(limit: int) -> None:
    """The mistake: a message is queued under an id of chance, and what was told is remembered afterwards."""
    put, puts = RedisOutbox.put, itertools.count(1)

    def mistaken(self: RedisOutbox, notification: Notification, last: LastNotified) -> bool:
        before = self.last(notification.group_key, notification.channel)
        made = msgspec.structs.replace(notification, id=uuid.uuid4().hex)
        put(self, made, before or LastNotified(at=last.at, sequence=0))
        if next(puts) == limit:
            die()
        key = self._under("pair", _pair(notification.channel, notification.group_key))
        self._store.client.hset(key, "last", msgspec.json.encode(last))
        return True

    RedisOutbox.put = mistaken  # type: ignore[method-assign]


if __name__ == "__main__":
    plan = json.loads(sys.argv.pop(1))
    if "die_at" in plan:
        die_at(plan["die_at"])
    if "die_after_commit" in plan:
        die_after_commit()
    if plan.get("mistake") == "commits_first":
        commits_first()
    if plan.get("mistake") == "puts_twice":
        puts_twice(plan["die_in_put"])
    main()
