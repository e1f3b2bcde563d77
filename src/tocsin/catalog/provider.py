"""Where each provider's records keep what every event has: id, time, code, tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Provider:
    """Top-level field names, the first present one counts. Sigma names a provider by `logsource.product`.

    `prefix` is stripped from a rule's field names, so that a rule written for the vendor's
    log-stream envelope reads the record inside. `ecs` maps a field of the Elastic Common Schema to
    the (dotted) vendor fields that may hold it, the best first.
    """

    name: str
    id_fields: tuple[str, ...]
    time_fields: tuple[str, ...]
    code_field: str
    tenant_field: str
    prefix: str = ""
    ecs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


PROVIDERS: dict[str, Provider] = {
    "auth0": Provider(
        "auth0",
        ("log_id", "_id"),
        ("date",),
        "type",
        "tenant_name",
        prefix="data.",
        ecs={
            "event.action": ("type",),
            "event.code": ("type",),
            "event.id": ("log_id", "_id"),
            "message": ("description",),
            "source.ip": ("ip", "client_ip"),
            "source.geo.country_iso_code": ("location_info.country_code",),
            "source.geo.city_name": ("location_info.city_name",),
            "tls.client.ja3": ("security_context.ja3",),
            "user.id": ("user_id",),
            "user.name": ("user_name",),
            "user_agent.original": ("user_agent",),
        },
    ),
    "frontegg": Provider(
        "frontegg",
        ("frontegg_id", "id"),
        ("createdAt",),
        "eventKey",
        "tenantId",
        ecs={
            "event.action": ("eventKey", "action"),
            "event.code": ("eventKey",),
            "event.id": ("frontegg_id", "id"),
            "message": ("description",),
            "source.ip": ("ip",),
            "user.id": ("userId", "user.id"),
            "user.name": ("email", "user.email"),
            "user_agent.original": ("userAgent",),
        },
    ),
}
