"""Finds, creates or recreates the durable consumer of a status subscription, through JetStream's API itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NoReturn

import nats.errors
from nats.aio.client import Client

from ._errors import PosthornError
from ._event import APP_SLUG, UUID, stream_name
from ._rfc3339 import to_rfc3339
from ._status_event import STATUS_EVENT_TYPES, StatusEventType, concerns_app
from ._text import quote

ACK_WAIT_S = 30
_SECOND_NS = 1_000_000_000
#: The server deletes the consumer of an unnamed subscription after this much inactivity.
_FORGOTTEN_AFTER_S = 5 * 60
#: Events waiting for redelivery count as pending acknowledgement; a limit near the number of handlers would block all others.
_MOST_WAITING = 10_000
_MOST_IN_FLIGHT = 256
_REQUEST_TIMEOUT_S = 5.0

_DURABLE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_API_PREFIX = re.compile(r"[^\s.*>]+(?:\.[^\s.*>]+)*")

#: The position at which a new consumer begins: an int is a sequence, a text an RFC 3339 time.
Start = Literal["new", "all"] | datetime | int | str


@dataclass(frozen=True)
class StatusFilter:
    changes: Sequence[StatusEventType] | None = None
    app: str | None = None
    installation_uuid: str | None = None


@dataclass(frozen=True)
class ConsumerPlan:
    subject_prefix: str
    api_prefix: str
    name: str
    is_durable: bool
    max_in_flight: int
    filter: StatusFilter

    @property
    def stream(self) -> str:
        return stream_name(self.subject_prefix, "STATUS")

    @property
    def max_ack_pending(self) -> int:
        return 1 if self.max_in_flight == 1 else _MOST_WAITING


def filter_subject(subject_prefix: str, wanted: StatusFilter) -> str:
    """One subject: servers before 2.10 take only one. What it lets through too much the subscription filters itself."""
    type = wanted.changes[0] if wanted.changes is not None and len(wanted.changes) == 1 else "*.*"
    app = wanted.app or "*"
    if wanted.installation_uuid is not None:
        return f"{subject_prefix}.status.{type}.{app}.{wanted.installation_uuid.lower()}"
    if type == "*.*":
        return f"{subject_prefix}.status.>"
    of_app = f"{subject_prefix}.status.{type}.{app}"
    return of_app if concerns_app(type) else f"{of_app}.*"


def check_options(
    *, durable: object, api_prefix: object, start_at: object, max_in_flight: object, plan_filter: StatusFilter
) -> None:
    """What can't work is refused before a connection is opened. Raises PUBLISH_INVALID naming the option."""
    _check_form("durable", durable, _DURABLE, "1 to 64 letters, digits, _ and -")
    _check_form("api_prefix", api_prefix, _API_PREFIX, "a subject, as POSTHORN.API")
    slug = "an app's slug: 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
    _check_form("app", plan_filter.app, APP_SLUG, slug)
    _check_form("installation_uuid", plan_filter.installation_uuid, UUID, "a UUID")
    changes = plan_filter.changes
    if changes is not None:
        if isinstance(changes, str) or not changes or any(change not in STATUS_EVENT_TYPES for change in changes):
            _refuse("changes", changes, f"some of {', '.join(STATUS_EVENT_TYPES)}")
        if plan_filter.installation_uuid is not None and all(concerns_app(change) for change in changes):
            _refuse("changes", changes, "a change of an installation: these concern a whole app")
    is_time = isinstance(start_at, datetime) and start_at.utcoffset() is not None
    if start_at not in ("new", "all") and not is_time:
        _refuse("start_at", start_at, '"new", "all" or an aware datetime')
    is_count = isinstance(max_in_flight, int) and not isinstance(max_in_flight, bool)
    if not is_count or not 1 <= max_in_flight <= _MOST_IN_FLIGHT:  # type: ignore[operator]
        _refuse("max_in_flight", max_in_flight, f"an integer from 1 to {_MOST_IN_FLIGHT}")


def _check_form(option: str, found: object, form: re.Pattern[str], wanted: str) -> None:
    if found is not None and not (isinstance(found, str) and form.fullmatch(found)):
        _refuse(option, found, wanted)


def _refuse(option: str, found: object, wanted: str) -> NoReturn:
    shown = quote(found) if isinstance(found, str) else repr(found)
    raise PosthornError("PUBLISH_INVALID", f"{option}: found {shown}, wanted {wanted}")


class ApiError(Exception):
    """JetStream answered a request with an error."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code


class NotAllowedError(Exception):
    """Nobody answers there, or the server refused the request: the account may not ask for it."""


class ConsumerApi:
    """The consumer of one plan."""

    def __init__(self, connection: Client, plan: ConsumerPlan) -> None:
        self._connection = connection
        self._plan = plan

    @property
    def next_subject(self) -> str:
        return f"{self._plan.api_prefix}.CONSUMER.MSG.NEXT.{self._plan.stream}.{self._plan.name}"

    async def info(self) -> dict[str, Any]:
        return await self._request("INFO")

    async def delete(self) -> None:
        await self._request("DELETE")

    async def ensure(self, start: Start) -> dict[str, Any]:
        """Raises NOT_FOUND when there is no status stream, or the consumer has to be created by an operator."""
        plan = self._plan
        wanted = {
            "filter_subject": filter_subject(plan.subject_prefix, plan.filter),
            "max_ack_pending": plan.max_ack_pending,
        }
        try:
            found = await self.info()
        except ApiError as error:
            if error.code != 404:
                raise PosthornError("NATS_UNREACHABLE", f"{plan.stream}: {error}", retryable=True) from error
        except NotAllowedError as error:
            message = f"{plan.stream}: no JetStream answers under {plan.api_prefix} ({error})"
            raise PosthornError("NATS_UNREACHABLE", message, retryable=True) from error
        else:
            config = found["config"]
            if all(config.get(name) == value for name, value in wanted.items()):
                return found
            has = f"has filter {config.get('filter_subject')} and max_ack_pending {config.get('max_ack_pending')}"
            return await self._create({**config, **wanted}, wanted, has)
        config = {
            **wanted,
            "durable_name": plan.name,
            "name": plan.name,
            "ack_policy": "explicit",
            "ack_wait": ACK_WAIT_S * _SECOND_NS,
            "max_deliver": -1,
            **({} if plan.is_durable else {"inactive_threshold": _FORGOTTEN_AFTER_S * _SECOND_NS}),
            **_beginning(start),
        }
        return await self._create(config, wanted, "does not exist")

    async def _create(self, config: dict[str, Any], wanted: dict[str, Any], found: str) -> dict[str, Any]:
        plan = self._plan
        try:
            return await self._request("CREATE", {"stream_name": plan.stream, "config": config})
        except NotAllowedError as error:
            # A consumer can publish what it gets to any subject: an account that only follows may not make one.
            want = f"filter {wanted['filter_subject']} and max_ack_pending {wanted['max_ack_pending']}"
            message = f"consumer {plan.name} of {plan.stream} {found}, wanted {want}"
            why = "this account may not create or change it; ask an operator"
            raise PosthornError("NOT_FOUND", f"{message}; {why}", retryable=True) from error
        except ApiError as error:
            why = f"was Posthorn started with the prefix {plan.subject_prefix!r}? ({error})"
            raise PosthornError("NOT_FOUND", f"can't follow {plan.stream}: {why}", retryable=True) from error

    async def _request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        plan = self._plan
        subject = f"{plan.api_prefix}.CONSUMER.{verb}.{plan.stream}.{plan.name}"
        payload = b"" if body is None else json.dumps(body).encode()
        try:
            message = await self._connection.request(subject, payload, timeout=_REQUEST_TIMEOUT_S)
        except nats.errors.NoRespondersError as error:
            raise NotAllowedError("nobody answers there") from error
        except nats.errors.TimeoutError as error:
            refused = str(self._connection.last_error or "")
            if "permissions violation" in refused.lower() and subject.lower() in refused.lower():
                raise NotAllowedError(refused) from error
            raise PosthornError("NATS_UNREACHABLE", f"{subject}: no answer", retryable=True) from error
        except nats.errors.Error as error:
            raise PosthornError("NATS_UNREACHABLE", f"{subject}: {error}", retryable=True) from error
        answer: dict[str, Any] = json.loads(message.data)
        if "error" in answer:
            raise ApiError(answer["error"].get("code", 0), answer["error"].get("description", "an error"))
        return answer


def first_open(info: dict[str, Any]) -> Start:
    """Where a consumer begins that takes the place of this one: nothing before it is left to be acknowledged."""
    acknowledged, delivered, config = info.get("ack_floor", {}), info.get("delivered", {}), info["config"]
    if acknowledged.get("consumer_seq", 0) > 0:
        return int(acknowledged["stream_seq"]) + 1
    # Until the first acknowledgement servers before 2.10 say 0, wherever it begins.
    if delivered.get("consumer_seq", 0) == 0:
        return int(delivered.get("stream_seq", 0)) + 1
    if config.get("opt_start_seq"):
        return int(config["opt_start_seq"])
    if config.get("opt_start_time"):
        return str(config["opt_start_time"])
    return str(info["created"]) if config.get("deliver_policy") == "new" else "all"


def _beginning(start: Start) -> dict[str, Any]:
    if isinstance(start, int):
        return {"deliver_policy": "by_start_sequence", "opt_start_seq": max(start, 1)}
    if isinstance(start, datetime):
        return {"deliver_policy": "by_start_time", "opt_start_time": to_rfc3339(start)}
    if start in ("all", "new"):
        return {"deliver_policy": start}
    return {"deliver_policy": "by_start_time", "opt_start_time": start}
