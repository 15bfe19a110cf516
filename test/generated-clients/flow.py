"""One flow through a client that openapi-python-client has generated. Arguments: URL, token, webhook URL."""

import sys

from posthorn_api import AuthenticatedClient
from posthorn_api.api.apps import create_or_replace_app, get_app, list_apps, rotate_app_secret, update_app
from posthorn_api.api.events import publish_event
from posthorn_api.api.installations import create_installation
from posthorn_api.models import (
    AppBody,
    AppPage,
    AppPatch,
    EventBatch,
    EventBatchResult,
    EventBody,
    EventBodyData,
    Installation,
    MadeApp,
    NewInstallationBody,
    Problem,
    RotatedSecret,
    StoredEvent,
)

url, token, webhook = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)


def event(event_type: str = "issue.created") -> EventBody:
    data = EventBodyData()
    data["n"] = 1
    return EventBody(type_=event_type, organization_id="42", data=data)


for slug in ["python-a", "python-b"]:
    made = create_or_replace_app.sync(slug, client=client, body=AppBody(webhook_url=webhook, events=["issue"]))
    assert isinstance(made, MadeApp) and len(made.client_secret) == 64 and made.created_at is not None
installed = create_installation.sync(client=client, body=NewInstallationBody(app="python-a", organization_id="42"))
assert isinstance(installed, Installation), installed
again = create_installation.sync(client=client, body=NewInstallationBody(app="python-a", organization_id="42"))
assert isinstance(again, Problem) and again.status == 409 and again.code == "CONFLICT", again
patched = update_app.sync("python-a", client=client, body=AppPatch(name="Patched"))
assert patched.name == "Patched" and patched.events == ["issue"], patched

stored = publish_event.sync(client=client, body=event(), idempotency_key="python-1")
assert isinstance(stored, StoredEvent) and stored.id == "python-1" and not stored.duplicate, stored
batch = publish_event.sync(client=client, body=EventBatch(events=[event(), event("Not a type")]))
assert isinstance(batch, EventBatchResult), batch
assert [result.status for result in batch.results] == [202, 400], batch

first = list_apps.sync(client=client, limit=1)
assert isinstance(first, AppPage) and isinstance(first.next_, str) and first.items[0].slug == "python-b", first
second = list_apps.sync(client=client, limit=1, cursor=first.next_)
assert isinstance(second, AppPage) and second.items[0].slug == "python-a", second
assert isinstance(rotate_app_secret.sync("python-a", client=client), RotatedSecret)
missing = get_app.sync("nobody", client=client)
assert isinstance(missing, Problem) and missing.code == "NOT_FOUND", missing
print(installed.uuid)
