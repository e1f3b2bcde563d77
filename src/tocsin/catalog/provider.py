"""Where each provider's records keep what every event has: id, time, code, tenant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """Top-level field names, the first present one counts. Sigma names a provider by `logsource.product`.

    `prefix` is stripped from a rule's field names, so that a rule written for the vendor's
    log-stream envelope reads the record inside.
    """

    name: str
    id_fields: tuple[str, ...]
    time_fields: tuple[str, ...]
    code_field: str
    tenant_field: str
    prefix: str = ""


PROVIDERS: dict[str, Provider] = {
    "auth0": Provider("auth0", ("log_id", "_id"), ("date",), "type", "tenant_name", prefix="data."),
    "frontegg": Provider("frontegg", ("frontegg_id", "id"), ("createdAt",), "eventKey", "tenantId"),
}
