"""What the vectors can't say: connections, errors, and subscriptions over time."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import datetime, timezone
from email.message import Message
from typing import Any

import nats
import pytest
from conftest import eventually, free_port
from nats.aio.client import Client

import posthorn
from posthorn import NatsServers, PosthornError, Publisher, StatusContext, StatusEvent, subscribe_status
from posthorn._event import prepare_event

UUID = "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f"
EVENT: dict[str, Any] = {"type": "issue.created", "organization_id": "42", "data": {"issue": {"id": "1"}}}


def test_a_publisher_tells_where_the_event_is_and_whether_it_was_there(run: Any, nats_url: str) -> None:
    async def scenario(connection: Client) -> None:
        async with await Publisher.connect(nats_url) as publisher:
            first = await publisher.publish(**EVENT, id="same")
            again = await publisher.publish(**EVENT, id="same")
            made = await publisher.publish(**EVENT)
        assert (first.id, first.stream, first.duplicate, first.trace_id) == ("same", "APP_PLATFORM_EVENTS", False, None)
        assert (again.duplicate, again.sequence) == (True, first.sequence)
        assert len(made.id) == 36
        mine = await Publisher.connect(connection)
        await mine.close()
        assert not connection.is_closed

    run(scenario)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {"n": float("nan")}}, "data: "),
        ({"data": {"n": float("inf")}}, "data: "),
        ({"data": {"n": {1, 2}}}, "data: "),
        ({"data": {}, "data_json": "{}"}, "data: found beside data_json"),
        ({"data": None, "data_json": "[" * 100_000}, "data: not valid JSON"),
        ({"data": None, "data_json": b"{}"}, "data: found bytes, wanted JSON text"),
        ({"data": None, "data_json": '{"a":"\ud800"}'}, "event: "),
        ({"occurred_at": datetime(2026, 1, 5)}, "without a time zone, wanted an aware datetime"),
        ({"occurred_at": 7}, "occurred_at: found a number"),
        ({"id": 1.5}, "id: found a number"),
        ({"id": b"x"}, "id: found bytes"),
    ],
)
def test_python_values_that_are_no_event_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PosthornError) as refused:
        prepare_event(**{**EVENT, **changes})
    assert (refused.value.code, says in str(refused.value)) == ("PUBLISH_INVALID", True)


def test_python_values_are_written_as_json_has_them() -> None:
    circle: dict[str, Any] = {}
    circle["me"] = circle
    with pytest.raises(PosthornError, match="data: Circular"):
        prepare_event(**{**EVENT, "data": circle})
    at = datetime(2026, 1, 5, 10, 11, 12, 345_678, tzinfo=timezone.utc)
    event = prepare_event(**{**EVENT, "data": {"n": 2**70, "half": "\ud800"}, "occurred_at": at})
    body = json.loads(event.body)
    assert (body["data"], body["occurred_at"]) == ({"n": 2**70, "half": "\ud800"}, "2026-01-05T10:11:12.345Z")
    digits = "1" * 10_000
    assert digits in prepare_event(**{**EVENT, "data": None, "data_json": f'{{"n":{digits}}}'}).body.decode()


def test_no_stream_and_no_server_are_named_with_what_to_look_at(run: Any) -> None:
    async def scenario(connection: Client) -> None:
        publisher = await Publisher.connect(connection, subject_prefix="nobody")
        with pytest.raises(PosthornError, match=r"no stream has the subject nobody\.events\.issue\.created: .*NOBODY") as e:
            await publisher.publish(**EVENT)
        assert (e.value.code, e.value.retryable) == ("PUBLISH_FAILED", True)
        with pytest.raises(PosthornError, match="can't follow NOBODY_STATUS: was Posthorn started") as e:
            await subscribe_status(print, nats=connection, durable="x", subject_prefix="nobody")
        assert e.value.code == "NOT_FOUND"
        hidden = f"nats://user:hunter2@127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
        with pytest.raises(PosthornError, match="no NATS server answered at nats://127") as e:
            await Publisher.connect(NatsServers(hidden))
        assert (e.value.code, "hunter2" in str(e.value)) == ("NATS_UNREACHABLE", False)

    run(scenario)


def test_headers_of_any_library_are_read() -> None:
    body = b'{"action":"created","installation":{"uuid":"x"},"data":{},"actor":{}}'
    secret = "0123456789abcdef" * 4
    from posthorn._webhook import _mac

    now = int(time.time())

    signature = "v1," + base64.b64encode(_mac(secret.encode(), f"dlv_1.{now}.".encode() + body)).decode()
    pairs = [("Webhook-Id", "dlv_1"), ("Webhook-Timestamp", str(now)), ("Webhook-Signature", signature)]
    message = Message()
    for name, value in pairs:
        message[name] = value
    for headers in (dict(pairs), message, {name: [value, "other"] for name, value in pairs}):
        assert posthorn.verify_webhook(body=body, headers=headers, secret=secret).delivery_id == "dlv_1"


class Status:
    """Announces status events of one app, and follows them."""

    def __init__(self, connection: Client, nats_url: str, app: str) -> None:
        self.connection, self.nats_url, self.app = connection, nats_url, app
        self.seen: list[str] = []
        self.number = 0

    async def announce(self, type: str = "integration.disabled", uuid: str = UUID) -> str:
        self.number += 1
        of = {} if type.startswith(("circuit.", "app.")) else {"installation_uuid": uuid}
        event = {"id": f"{self.app}:{self.number}", "type": type, "data": {"app": self.app, **of}}
        subject = ".".join(["app-platform.status", type, self.app, *of.values()])
        await self.connection.jetstream().publish(subject, json.dumps(event).encode())
        return str(event["id"])

    async def follow(self, **options: Any) -> posthorn.StatusSubscription:
        def note(event: StatusEvent, _context: StatusContext) -> None:
            self.seen.append(event.id)

        defaults: dict[str, Any] = {"durable": self.app, "app": self.app, "nats": self.nats_url, "start_at": "all"}
        return await subscribe_status(options.pop("on_event", note), **{**defaults, **options})

    async def until(self, count: int) -> list[str]:
        await eventually(lambda: len(self.seen) >= count)
        return self.seen


def test_a_durable_subscription_resumes_where_the_last_one_stopped(run: Any, nats_url: str) -> None:
    async def scenario(connection: Client) -> None:
        status = Status(connection, nats_url, "catch-up")
        early = await status.announce()
        first = await status.follow(start_at="new")
        one = await status.announce()
        await status.until(1)
        await first.stop()
        two = await status.announce("circuit.opened")
        second = await status.follow(start_at="new")
        assert await status.until(2) == [one, two]
        await second.stop()
        once = await status.follow(durable=None)
        assert (await status.until(5))[2:] == [early, one, two]
        await once.stop()
        names = [info.name for info in await connection.jetstream().consumers_info("APP_PLATFORM_STATUS")]
        assert [name for name in names if name.startswith("once-")] == []

    run(scenario)


def test_a_subscription_filters_what_the_subject_lets_through(run: Any, nats_url: str) -> None:
    async def scenario(connection: Client) -> None:
        other = "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f"
        status = Status(connection, nats_url, "filter")
        a, _b = await status.announce(), await status.announce("circuit.opened")
        c = await status.announce("integration.enabled", other)
        two = await status.follow(durable="two", changes=["integration.disabled", "integration.enabled"])
        assert await status.until(2) == [a, c]
        await two.stop()
        status.seen.clear()
        installation = await status.follow(durable="installation", app=None, installation_uuid=other.upper())
        assert await status.until(1) == [c]
        await installation.stop()
        # The consumer of a name is changed to what is asked for now.
        changed = await status.follow(durable="two", max_in_flight=4)
        d = await status.announce("circuit.closed")
        assert (await status.until(2))[-1] == d
        await changed.stop()

    run(scenario)


def test_an_event_whose_handler_raises_comes_again_before_the_next(run: Any, nats_url: str) -> None:
    async def scenario(connection: Client) -> None:
        status = Status(connection, nats_url, "again")
        errors: list[Exception] = []
        tries: list[tuple[str, int]] = []

        async def handle(event: StatusEvent, context: StatusContext) -> None:
            tries.append((event.id, context.redelivered))
            if len(tries) == 1:
                raise ValueError("not now")
            status.seen.append(event.id)

        one, two = await status.announce(), await status.announce()
        subscription = await status.follow(on_event=handle, on_error=errors.append)
        assert await status.until(2) == [one, two]
        await subscription.stop()
        assert tries == [(one, 0), (one, 1), (two, 0)]
        assert [str(error) for error in errors] == ["not now"]

    run(scenario)


def test_with_several_at_once_the_others_go_on_and_stop_waits_for_handlers(run: Any, nats_url: str) -> None:
    async def scenario(connection: Client) -> None:
        status = Status(connection, nats_url, "crowd")
        running, most, may_end = 0, 0, asyncio.Event()
        poison = await status.announce()

        async def handle(event: StatusEvent, _context: StatusContext) -> None:
            nonlocal running, most
            if event.id == poison:
                raise ValueError("never")
            running += 1
            most = max(most, running)
            await may_end.wait()
            running -= 1
            status.seen.append(event.id)

        others = [await status.announce() for _ in range(5)]
        subscription = await status.follow(on_event=handle, max_in_flight=3, on_error=lambda error: None)
        await eventually(lambda: running == 3)
        may_end.set()
        await status.until(5)
        may_end.clear()
        last = await status.announce()
        await eventually(lambda: running == 1)
        stopping = asyncio.create_task(subscription.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        may_end.set()
        await stopping
        assert (sorted(status.seen), most) == (sorted([*others, last]), 3)

    run(scenario)


@pytest.mark.parametrize("max_in_flight", [1, 4])
def test_a_deleted_consumer_is_made_again_behind_what_was_handled(run: Any, nats_url: str, max_in_flight: int) -> None:
    async def scenario(connection: Client) -> None:
        status = Status(connection, nats_url, f"deleted-{max_in_flight}")
        early = await status.announce()
        errors: list[Exception] = []
        subscription = await status.follow(start_at="new", max_in_flight=max_in_flight, on_error=errors.append)
        await connection.jetstream().delete_consumer("APP_PLATFORM_STATUS", status.app)
        one = await status.announce()
        await status.until(1)
        await connection.jetstream().delete_consumer("APP_PLATFORM_STATUS", status.app)
        two = await status.announce()
        await status.until(2)
        await subscription.stop()
        assert (status.seen, early in status.seen) == ([one, two], False)
        assert errors

    run(scenario)


def test_an_account_that_may_not_create_consumers_is_refused(nats_url: str) -> None:
    async def scenario() -> None:
        connection = await nats.connect(nats_url)
        with pytest.raises(PosthornError, match=r"no JetStream answers under POSTHORN\.API") as refused:
            await subscribe_status(print, nats=connection, durable="x", api_prefix="POSTHORN.API")
        assert refused.value.code == "NATS_UNREACHABLE"
        await connection.close()

    asyncio.run(scenario())
