"""Where each provider's records keep what every event has: id, time, code, tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ECS = "ecs"  # the provider whose records are ECS documents already


@dataclass(frozen=True, slots=True)
class Provider:
    """Top-level field names, the first present one counts. Sigma names a provider by `logsource.product`.

    `prefix` is stripped from a rule's field names, so that a rule written for the vendor's
    log-stream envelope reads the record inside. `ecs` maps a field of the Elastic Common Schema to
    the (dotted) vendor fields that may hold it, the best first. `outcomes` maps a vendor field to
    what its (case-folded) texts say of an event's outcome, whatever the event's code says.
    A record without the `code_field` may still say in its `action_field`, in words, which event it is.
    An empty `code_field`: the records have no codes of a vendor, and there is no catalogue.
    `signs` are top-level fields that no other provider's records have.
    """

    name: str
    vendor: str
    id_fields: tuple[str, ...]
    time_fields: tuple[str, ...]
    code_field: str
    tenant_field: str
    signs: tuple[str, ...]
    action_field: str = ""
    prefix: str = ""
    ecs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outcomes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def own_fields(self) -> frozenset[str]:
        """What has one of these is a record, and no envelope around one."""
        return frozenset({self.code_field, self.action_field, *self.time_fields} - {""})


_STATUSES = {
    **dict.fromkeys(("success", "successful", "succeeded", "ok", "completed", "passed"), "success"),
    **dict.fromkeys(("failure", "failed", "fail", "error", "denied", "rejected", "blocked"), "failure"),
}

PROVIDERS: dict[str, Provider] = {
    "auth0": Provider(
        "auth0",
        "Auth0",
        ("log_id", "_id"),
        ("date",),
        "type",
        "tenant_name",
        signs=("log_id", "date"),
        prefix="data.",
        ecs={
            "error.message": ("details.error.message", "details.error.reason"),
            "http.request.method": ("details.request.method",),
            "message": ("description",),
            "organization.id": ("organization_id",),
            "organization.name": ("organization_name",),
            "source.ip": ("ip", "client_ip"),
            "source.geo.continent_code": ("location_info.continent_code",),
            "source.geo.country_iso_code": ("location_info.country_code",),
            "source.geo.country_name": ("location_info.country_name",),
            "source.geo.city_name": ("location_info.city_name",),
            "source.geo.location.lat": ("location_info.latitude",),
            "source.geo.location.lon": ("location_info.longitude",),
            "source.geo.timezone": ("location_info.time_zone",),
            "tls.client.ja3": ("security_context.ja3",),
            "url.domain": ("hostname",),
            "url.path": ("details.request.path",),
            "user.id": ("user_id",),
            "user.name": ("user_name",),
            "user_agent.original": ("user_agent",),
        },
    ),
    "frontegg": Provider(
        "frontegg",
        "Frontegg",
        ("frontegg_id", "id"),
        ("createdAt",),
        "eventKey",
        "tenantId",
        signs=("frontegg_id", "eventKey", "createdAt"),
        action_field="action",
        ecs={
            "message": ("description", "message"),
            "organization.id": ("tenantId", "eventContext.tenantId"),
            "source.ip": ("ip",),
            "user.id": ("userId", "user.id", "eventContext.userId"),
            "user.name": ("email", "user.email", "user", "username"),
            "user_agent.original": ("userAgent",),
        },
        # The same code carries success and failure (domain notes 4): the status decides, then the severity.
        outcomes={"status": _STATUSES, "severity": {"error": "failure"}},
    ),
    ECS: Provider(
        ECS,
        "",
        ("event.id", "_id"),
        ("@timestamp",),
        "",
        "organization.id",
        signs=("@timestamp",),
    ),
}


def provider_of(record: Mapping[str, object]) -> str | None:
    """Whose record it is, by what only theirs have; None where it cannot be told."""
    told = (one.name for one in PROVIDERS.values() if any(sign in record for sign in one.signs))
    return next(told, None)
