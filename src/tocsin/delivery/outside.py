"""What a channel needs of the world, given to every one of them alike."""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from tocsin.clock import SystemClock
from tocsin.delivery.addresses import Resolve, resolve_by_system
from tocsin.errors import ConfigError
from tocsin.protocols import Clock
from tocsin.settings import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The clock, the way out (`proxy`, a URL), more authorities to trust, the resolver, the terminal."""

    clock: Clock = field(default_factory=SystemClock)
    proxy: Secret | None = None
    ca_file: Path | None = None
    resolve: Resolve = resolve_by_system
    stream: TextIO = field(default_factory=lambda: sys.stdout)


@lru_cache(maxsize=16)
def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies by the system's authorities and those of `ca_file`. Made once: it costs 30 ms.

    Raises:
        ConfigError: the file holds no certificate.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as exc:  # ssl.SSLError is one
            raise ConfigError(
                f"ca_file {ca_file}: no certificates can be read from it; it must be PEM"
            ) from exc
    return context
