"""Status events: CloudEvents 1.0 in JSON, with the members of schemas/<type>.json. A later version may add members."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

StatusEventType = Literal[
    "integration.broken",
    "integration.recovered",
    "integration.disabled",
    "integration.enabled",
    "circuit.opened",
    "circuit.closed",
    "app.throttled",
    "app.released",
    "delivery.exhausted",
    "delivery.rejected",
    "delivery.suppressed",
    "app.failing",
    "app.healthy",
]
STATUS_EVENT_TYPES: tuple[StatusEventType, ...] = (
    "integration.broken",
    "integration.recovered",
    "integration.disabled",
    "integration.enabled",
    "circuit.opened",
    "circuit.closed",
    "app.throttled",
    "app.released",
    "delivery.exhausted",
    "delivery.rejected",
    "delivery.suppressed",
    "app.failing",
    "app.healthy",
)


def concerns_app(type: str) -> bool:
    """Whether events of the type concern an app and no single installation."""
    return type.startswith(("app.", "circuit.")) or type == "delivery.suppressed"


InstallationStatus = Literal["active", "broken", "disabled"]


class IntegrationData(TypedDict):
    app: str
    installation_uuid: str
    organization_id: str
    webhook_url: str
    previous_status: InstallationStatus
    status: InstallationStatus
    dashboard_url: str | None


class BrokenReason(TypedDict):
    """The rule, and the counters that it was judged by."""

    rule: Literal["fatal", "failing_days", "timeouts"]
    window_days: int
    #: UTC days, oldest first.
    days: list[str]
    success: int
    error: int
    timeout: int
    fatal: int
    last_response_code: int | None
    last_error: str | None


class BrokenData(IntegrationData):
    reason: BrokenReason


class ChangedBy(TypedDict):
    """`probe`: a first success. `person`: through the API."""

    by: Literal["probe", "person"]


class StatusChangedData(IntegrationData):
    reason: ChangedBy


class CircuitReason(TypedDict):
    window_s: float
    attempts: int
    failures: int
    failure_percent: float


class CircuitData(TypedDict):
    app: str
    previous_state: Literal["closed", "open", "half_open"]
    state: Literal["closed", "open"]
    #: None when it closed.
    reason: CircuitReason | None
    open_until: str | None
    dashboard_url: str | None


class ThrottledData(TypedDict):
    app: str
    #: RFC 3339; nothing of the app is attempted before.
    until: str
    response_code: int
    dashboard_url: str | None


class ReleasedData(TypedDict):
    app: str
    throttled_at: str
    dashboard_url: str | None


class GivenUpData(TypedDict):
    app: str
    installation_uuid: str
    organization_id: str
    delivery_id: str
    event_id: str
    event_type: str
    attempts: int
    reason: str
    last_outcome: str | None
    last_response_code: int | None
    last_error: str | None
    dashboard_url: str | None


class SuppressedData(TypedDict):
    """Events of a minute that were not published, because there were too many."""

    app: str
    count: int
    #: The minute, RFC 3339.
    since: str
    until: str
    dashboard_url: str | None


class AppHealthData(TypedDict):
    """The app's attempts of the last 15 minutes."""

    app: str
    #: When the app began to fail, RFC 3339.
    since: str
    attempts: int
    failures: int
    last_success_at: str | None
    #: Response code to failures; "0": no response.
    by_code: dict[str, int]
    dashboard_url: str | None


@dataclass(frozen=True)
class StatusEvent:
    #: The same if the event is published or redelivered again: remember it to skip handled events.
    id: str
    type: StatusEventType
    source: str
    #: The installation's uuid, the app's slug or the delivery's id.
    subject: str
    #: RFC 3339.
    time: str
    #: As the type says: `BrokenData`, `StatusChangedData`, `CircuitData`, `ThrottledData`, `ReleasedData`, `AppHealthData`,
    #: `GivenUpData` or `SuppressedData`.
    data: dict[str, Any]

    def broken(self) -> BrokenData:
        """The data of an integration.broken."""
        return cast(BrokenData, self._data_of("integration.broken"))

    def changed(self) -> StatusChangedData:
        """The data of an integration.recovered, .disabled or .enabled."""
        return cast(StatusChangedData, self._data_of("integration.recovered", "integration.disabled", "integration.enabled"))

    def circuit(self) -> CircuitData:
        """The data of a circuit.opened or .closed."""
        return cast(CircuitData, self._data_of("circuit.opened", "circuit.closed"))

    def throttled(self) -> ThrottledData:
        """The data of an app.throttled."""
        return cast(ThrottledData, self._data_of("app.throttled"))

    def released(self) -> ReleasedData:
        """The data of an app.released."""
        return cast(ReleasedData, self._data_of("app.released"))

    def given_up(self) -> GivenUpData:
        """The data of a delivery.exhausted or .rejected."""
        return cast(GivenUpData, self._data_of("delivery.exhausted", "delivery.rejected"))

    def suppressed(self) -> SuppressedData:
        """The data of a delivery.suppressed."""
        return cast(SuppressedData, self._data_of("delivery.suppressed"))

    def app_health(self) -> AppHealthData:
        """The data of an app.failing or .healthy."""
        return cast(AppHealthData, self._data_of("app.failing", "app.healthy"))

    def _data_of(self, *types: StatusEventType) -> dict[str, Any]:
        if self.type not in types:
            raise TypeError(f"this is a {self.type}, wanted {' or '.join(types)}")
        return self.data


def read_status_event(body: bytes) -> StatusEvent | None:
    """None: it is no status event."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    type, data = value.get("type"), value.get("data")
    if not isinstance(type, str) or not isinstance(data, dict):
        return None
    text = {name: str(value.get(name, "")) for name in ("id", "source", "subject", "time")}
    return StatusEvent(type=cast(StatusEventType, type), data=data, **text)
