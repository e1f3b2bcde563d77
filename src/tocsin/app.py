"""The composition root: settings in, the service's parts out. The only place that names concrete classes.

`build` is one straight line on purpose: it is read top to bottom to see what the service is made of.
"""

from __future__ import annotations

import random  # noqa: TID251 - chance is made here and handed on
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tocsin.alerts.render import Renderer
from tocsin.alerts.route import Route
from tocsin.alerts.routing_file import load_routing
from tocsin.clock import SystemClock
from tocsin.delivery.channels import CHANNELS, PacedChannel
from tocsin.delivery.outside import Outside
from tocsin.engine import Engine
from tocsin.model.compiled import RuleSet
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Alerts, Clock, Inbox, Outbox, Positions, Quarantine, Silences
from tocsin.reload import Reloader, load_of, signature_of
from tocsin.settings import Settings, validate_channels
from tocsin.settings.shipped import shipped
from tocsin.sources.decode import Decoder
from tocsin.sources.stream import StreamSource
from tocsin.state.alerts_redis import RedisAlerts
from tocsin.state.connection import Store, open_store
from tocsin.state.embedded import EmbeddedServer
from tocsin.state.evidence_redis import RedisEvidence
from tocsin.state.inbox import RedisInbox
from tocsin.state.outbox_redis import RedisOutbox
from tocsin.state.positions import RedisPositions
from tocsin.state.quarantine import RedisQuarantine
from tocsin.state.rule_states import RedisRuleStates
from tocsin.state.silences import RedisSilences
from tocsin.state.windows_redis import RedisWindows


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything the loops and the receiver work with.

    `revive` starts our own server again if it died; whether it did.
    """

    settings: Settings
    store: Store
    revive: Callable[[], bool]
    reloader: Reloader
    inbox: Inbox
    sources: list[StreamSource]
    alerts: Alerts
    positions: Positions
    quarantine: Quarantine
    silences: Silences
    outbox: Outbox
    watermarks: Watermarks
    routes: Route
    renderer: Renderer
    channels: dict[str, PacedChannel]
    channel_types: dict[str, str]
    clock: Clock
    rng: random.Random

    @property
    def ruleset(self) -> RuleSet:
        """The rules at work now."""
        return self.reloader.rules.now.ruleset


@contextmanager
def build(settings: Settings, *, dry_run: bool = False) -> Iterator[Parts]:
    """The parts of one service, wired; let go of in reverse order at the end.

    With `dry_run` nothing is sent (every channel prints what it would send), and nothing of the
    real state is touched: it works under a key prefix of its own, which is erased at the end.

    Raises:
        ConfigError, RuleErrors: something is wrong with what the operator wrote; all of it.
        StoreError: the store is taken, unfit or away.
    """
    clock = SystemClock()
    signature = signature_of(settings)  # before they are read: what changes meanwhile is seen later
    loaded = load_of(settings)
    channels, channel_types = make_channels(settings, dry_run=dry_run)
    routes = load_routing(settings.routing, list(channels))
    renderer = make_renderer(settings)

    with ExitStack() as stack:
        server = None if settings.redis_url else stack.enter_context(_own_server(settings))
        store = _open(settings, server, stack, dry_run=dry_run)
        windows, evidence = RedisWindows(store), RedisEvidence(store)
        inbox = RedisInbox(store)
        sources = _sources(settings, loaded.ruleset, inbox)
        watermarks = Watermarks(clock.now())
        reloader = Reloader(
            settings, loaded, signature=signature, engine=lambda rules: Engine(rules, windows, evidence),
            states=RedisRuleStates(store), sources=sources, watermarks=watermarks, clock=clock,
        )  # fmt: skip
        yield Parts(
            settings=settings,
            store=store,
            revive=server.revive if server else lambda: False,
            reloader=reloader,
            inbox=inbox,
            sources=sources,
            alerts=RedisAlerts(store, evidence.recall),
            positions=RedisPositions(store),
            quarantine=RedisQuarantine(store),
            silences=RedisSilences(store),
            outbox=RedisOutbox(store),
            watermarks=watermarks,
            routes=routes,
            renderer=renderer,
            channels=channels,
            channel_types=channel_types,
            clock=clock,
            rng=random.Random(),  # noqa: S311 - jitter, no secret
        )


def make_renderer(settings: Settings) -> Renderer:
    """The renderer; what the operator's folders do not hold, the shipped one does."""
    folders = [*settings.templates, shipped("alerts") / "templates"]
    return Renderer(folders, external_url=settings.external_url, timezone=settings.timezone)


def make_channels(
    settings: Settings, *, dry_run: bool = False
) -> tuple[dict[str, PacedChannel], dict[str, str]]:
    """Every configured channel, and the type whose template each is rendered with.

    Raises:
        ConfigError: all that is wrong with their settings.
    """
    configs = validate_channels(settings, CHANNELS)
    outside = Outside(proxy=settings.proxy, ca_file=settings.ca_file)
    if dry_run:
        console = CHANNELS["console"]
        printing: dict[str, PacedChannel] = {n: console(n, console.Config(), outside) for n in configs}
        return printing, dict.fromkeys(configs, "console")
    types = {name: str(settings.channels[name]["type"]) for name in configs}
    return {name: CHANNELS[types[name]](name, config, outside) for name, config in configs.items()}, types


def _own_server(settings: Settings) -> EmbeddedServer:
    return EmbeddedServer(settings.data_dir, maxmemory=str(settings.max_memory))


def _open(settings: Settings, server: EmbeddedServer | None, stack: ExitStack, *, dry_run: bool) -> Store:
    """Our own server, else the configured one."""
    url = settings.redis_url.reveal() if settings.redis_url else ""
    url = server.url if server else url
    prefix = f"tocsin-dry-{secrets.token_hex(8)}" if dry_run else "tocsin"
    store = open_store(url, prefix=prefix)
    stack.callback(store.close)
    if dry_run:
        stack.callback(store.erase)
    else:
        store.check_durable(unsafe=settings.unsafe_store)
    return store


def _sources(settings: Settings, ruleset: RuleSet, inbox: RedisInbox) -> list[StreamSource]:
    return [
        StreamSource(
            inbox,
            name,
            Decoder(
                ruleset.fields,
                provider=source.provider,
                tenant=source.tenant or "",
                default_tenant=settings.tenant,
            ),
            source.allowed_lateness,
        )
        for name, source in settings.sources.items()
    ]
