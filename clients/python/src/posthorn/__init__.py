"""Client of Posthorn: publish events, follow status events, verify webhooks."""

from ._connection import NatsServers
from ._errors import PosthornError
from ._event import delivery_id
from ._publisher import PublishedEvent, Publisher
from ._status_event import (
    STATUS_EVENT_TYPES,
    AppHealthData,
    BrokenData,
    BrokenReason,
    ChangedBy,
    CircuitData,
    CircuitReason,
    GivenUpData,
    IntegrationData,
    ReleasedData,
    StatusChangedData,
    StatusEvent,
    StatusEventType,
    SuppressedData,
    ThrottledData,
)
from ._subscription import StatusContext, StatusSubscription, subscribe_status
from ._webhook import VerifiedWebhook, verify_webhook

__all__ = [
    "STATUS_EVENT_TYPES",
    "AppHealthData",
    "BrokenData",
    "BrokenReason",
    "ChangedBy",
    "CircuitData",
    "CircuitReason",
    "GivenUpData",
    "IntegrationData",
    "NatsServers",
    "PosthornError",
    "PublishedEvent",
    "Publisher",
    "ReleasedData",
    "StatusChangedData",
    "StatusContext",
    "StatusEvent",
    "StatusEventType",
    "StatusSubscription",
    "SuppressedData",
    "ThrottledData",
    "VerifiedWebhook",
    "delivery_id",
    "subscribe_status",
    "verify_webhook",
]
