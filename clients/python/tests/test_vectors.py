"""The vectors that the clients of all languages are held to (clients/vectors)."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import nats
import pytest
from conftest import eventually, vectors
from nats.aio.client import Client
from nats.aio.msg import Msg

import posthorn
from posthorn import PosthornError, Publisher, subscribe_status, verify_webhook
from posthorn._event import _digest, _key, prepare_event, stream_name
from posthorn._status_consumer import StatusFilter, filter_subject
from posthorn._subscription import backoff_s
from posthorn._trace import parse_traceparent

Cases = list[dict[str, Any]]
EVENTS: Cases = vectors("events")["cases"]
TRACES: Cases = vectors("traceparent")["cases"]
SUBJECTS = vectors("subjects")
STATUS_EVENTS = vectors("status-events")


def by_name(case: dict[str, Any]) -> str:
    return str(case.get("name", case.get("id", "")))


def arguments(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": None, "organization_id": None, **event}


@pytest.mark.parametrize("case", [case for case in EVENTS if "refused" in case], ids=by_name)
def test_an_event_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(PosthornError) as refused:
        prepare_event(**arguments(case["event"]))
    assert refused.value.code == "PUBLISH_INVALID"
    assert case["refused"] in str(refused.value)


async def sent(connection: Client, events: Cases) -> list[Msg]:
    """What a publisher sends for these events, as others see it, stored or not."""
    seen: list[Msg] = []

    async def keep(message: Msg) -> None:
        seen.append(message)

    await connection.subscribe("app-platform.events.>", cb=keep)
    await connection.flush()
    publisher = await Publisher.connect(connection)
    for number, event in enumerate(events, 1):
        await publisher.publish(**arguments(event))
        await eventually(lambda wanted=number: len(seen) == wanted)  # type: ignore[misc]
    return seen


def test_events_are_published_as_the_vectors_say(run: Any) -> None:
    cases = [case for case in EVENTS if "accepted" in case]

    async def scenario(connection: Client) -> None:
        for case, message in zip(cases, await sent(connection, [case["event"] for case in cases]), strict=True):
            accepted, name = case["accepted"], case["name"]
            body = {key: value for key, value in json.loads(message.data).items() if value is not None}
            headers = message.headers or {}
            assert (name, message.subject) == (name, accepted["subject"])
            assert (name, headers["Nats-Msg-Id"]) == (name, accepted["message_id"])
            if "body_has" in accepted:
                assert accepted["body_has"] in message.data.decode()
                del body["data"]
            assert (name, body) == (name, accepted["body"])

    run(scenario)


@pytest.mark.parametrize("case", vectors("identity")["cases"], ids=by_name)
def test_an_event_has_its_key_and_its_delivery_an_id(case: dict[str, Any]) -> None:
    identity = {"id": case["id"], "type": case.get("type"), "source": case.get("source")}
    assert f"evt_{_digest(_key(identity['type'], case['id'], identity['source']))}" == case["message_id"]
    assert posthorn.delivery_id(installation_uuid=case["installation_uuid"], **identity) == case["delivery_id"]


@pytest.mark.parametrize("case", TRACES, ids=by_name)
def test_a_traceparent_is_read(case: dict[str, Any]) -> None:
    trace = parse_traceparent(case["traceparent"], case.get("tracestate"))
    read = trace and {"trace_id": trace.trace_id, "span_id": trace.span_id, "is_sampled": trace.is_sampled}
    assert read == case["read"]


def test_an_event_carries_the_trace(run: Any) -> None:
    async def scenario(connection: Client) -> None:
        base = {"type": "issue.created", "organization_id": "42", "data": {}}
        events = [{**base, "traceparent": case["traceparent"], "tracestate": case.get("tracestate")} for case in TRACES]
        for case, message in zip(TRACES, await sent(connection, events), strict=True):
            headers = message.headers or {}
            found = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
            assert (case["name"], found) == (case["name"], case["published"] or {})

    run(scenario)


def test_streams_and_subjects_of_events() -> None:
    for case in SUBJECTS["streams"]:
        names = [stream_name(case["subject_prefix"], stream) for stream in ("EVENTS", "STATUS")]
        assert names == [case["events"], case["status"]]
    for case in SUBJECTS["events"]:
        event = prepare_event(type=case["type"], organization_id="42", data={}, subject_prefix=case["subject_prefix"])
        assert event.subject == case["subject"]
    assert [backoff_s(number) for number, _ in enumerate(SUBJECTS["backoff_s"], 1)] == SUBJECTS["backoff_s"]


@pytest.mark.parametrize("case", SUBJECTS["filters"], ids=lambda case: json.dumps(case["options"]))
def test_a_subscription_filters(case: dict[str, Any]) -> None:
    options = dict(case["options"])
    prefix = options.pop("subject_prefix", "app-platform")
    assert filter_subject(prefix, StatusFilter(**options)) == case["subject"]


@pytest.mark.parametrize("case", SUBJECTS["refused"], ids=lambda case: json.dumps(case["options"]))
def test_an_option_is_refused_before_anything_is_connected(case: dict[str, Any]) -> None:
    async def subscribe() -> None:
        await subscribe_status(lambda event, context: None, nats="nats://127.0.0.1:1", **case["options"])

    with pytest.raises(PosthornError, match=f"^{case['option']}: found ") as refused:
        asyncio.run(subscribe())
    assert refused.value.code == "PUBLISH_INVALID"
    if case["option"] == "subject_prefix":
        with pytest.raises(PosthornError, match=r"^subject_prefix: found "):
            asyncio.run(Publisher.connect("nats://127.0.0.1:1", **case["options"]))


@pytest.mark.parametrize("case", vectors("signatures")["cases"], ids=by_name)
def test_a_webhook(case: dict[str, Any]) -> None:
    options = {name: case[name] for name in ("allow_unsigned_timestamp", "header_prefix", "tolerance_s") if name in case}
    body = base64.b64decode(case["body_base64"]) if "body_base64" in case else case["body"].encode()

    def verify() -> posthorn.VerifiedWebhook:
        return verify_webhook(body=body, headers=case["headers"], secret=case["secrets"], now=case["now"], **options)

    if "refused" in case:
        with pytest.raises(PosthornError) as refused:
            verify()
        assert refused.value.code == "WEBHOOK_INVALID"
        assert case["refused"] in str(refused.value)
    else:
        webhook = verify()
        assert {name: getattr(webhook, name) for name in case["verified"]} == case["verified"]
        assert webhook.data == json.loads(body)["data"]


def test_status_events_are_heard_and_what_is_none_is_skipped(nats_url: str) -> None:
    async def scenario() -> None:
        connection = await nats.connect(nats_url)
        jetstream = connection.jetstream()
        seen: list[tuple[str, posthorn.StatusEvent]] = []
        problems: list[Exception] = []
        subscription = await subscribe_status(
            lambda event, context: seen.append((context.subject, event)),
            nats=nats_url,
            durable="vectors",
            on_error=problems.append,
        )
        for text in STATUS_EVENTS["not_events"]:
            await jetstream.publish("app-platform.status.integration.broken.acme-tracker.x", text.encode())
        for case in STATUS_EVENTS["events"]:
            await jetstream.publish(case["subject"], json.dumps(case["event"]).encode())
        await eventually(lambda: len(seen) == len(STATUS_EVENTS["events"]))
        await subscription.stop()
        await connection.close()
        for case, (subject, event) in zip(STATUS_EVENTS["events"], seen, strict=True):
            assert (subject, event.data) == (case["subject"], case["event"]["data"])
            for name in ("id", "type", "source", "subject", "time"):
                assert getattr(event, name) == case["event"][name]
        assert [str(problem).endswith("is no status event; it is skipped") for problem in problems] == [True] * len(
            STATUS_EVENTS["not_events"]
        )
        assert {event.type for _, event in seen} == set(posthorn.STATUS_EVENT_TYPES)

    asyncio.run(scenario())
