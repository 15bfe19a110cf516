"""Turns an event into its message on the bus, or names the member that is wrong. Pure; tested with clients/vectors."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, NoReturn

from ._errors import PosthornError
from ._rfc3339 import rfc3339_problem, to_rfc3339
from ._text import has_control_characters, is_well_formed, kind_of, quote, utf16_length

DEFAULT_PREFIX = "app-platform"
DEFAULT_MAX_ID_LENGTH = 256

_TOKEN = re.compile(r"[a-z0-9_]{1,64}")
APP_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True)
class PreparedEvent:
    id: str
    subject: str
    #: The value of the header Nats-Msg-Id.
    message_id: str
    body: bytes


def prepare_event(
    *,
    type: str,
    organization_id: str | int,
    data: Mapping[str, Any] | None = None,
    data_json: str | None = None,
    id: str | None = None,
    installation_uuid: str | None = None,
    app: str | None = None,
    project_id: str | int | None = None,
    actor: Mapping[str, Any] | None = None,
    occurred_at: datetime | str | None = None,
    subject_prefix: str = DEFAULT_PREFIX,
    max_id_length: int = DEFAULT_MAX_ID_LENGTH,
) -> PreparedEvent:
    """Raises PUBLISH_INVALID naming the member."""
    event_type = _checked_type(type)
    event_id = str(uuid.uuid4()) if id is None else id
    if organization_id is None:
        _refuse("organization_id: missing, wanted a string or an integer")
    members: dict[str, object] = {
        "id": _identifier("id", event_id, max_id_length),
        "organization_id": _identifier("organization_id", organization_id, max_id_length),
        "installation_uuid": _matching("installation_uuid", installation_uuid, UUID, "a UUID"),
        "app": _matching("app", app, APP_SLUG, "an app slug"),
        "project_id": None if project_id is None else _identifier("project_id", project_id, max_id_length),
        "actor": None if actor is None else _object("actor", actor),
        "occurred_at": _time(occurred_at),
    }
    head = _to_json("event", {name: value for name, value in members.items() if value is not None})
    body = f'{head[:-1]},"data":{_data(data, data_json)}}}'
    return PreparedEvent(
        id=str(event_id),
        subject=f"{subject_prefix}.events.{event_type}",
        message_id=f"evt_{_digest(_key(event_type, str(event_id), None))}",
        body=_encoded(body),
    )


def check_subject_prefix(subject_prefix: str) -> None:
    if not isinstance(subject_prefix, str) or not _PREFIX.fullmatch(subject_prefix):
        found = quote(subject_prefix) if isinstance(subject_prefix, str) else kind_of(subject_prefix)
        _refuse(f"subject_prefix: found {found}, wanted 1 to 32 letters, digits, _ and -, as POSTHORN_SUBJECT_PREFIX")


def stream_name(subject_prefix: str, stream: str) -> str:
    """`APP_PLATFORM_EVENTS` of `app-platform`."""
    return f"{subject_prefix}_{stream}".upper().replace("-", "_")


def delivery_id(*, id: str, installation_uuid: str, type: str | None = None, source: str | None = None) -> str:
    """The `webhook-id` of an event's delivery to an installation: of a plain event's type, or a CloudEvent's source."""
    if (type is None) == (source is None):
        raise ValueError("type, source: wanted one of them")
    return f"dlv_{_digest(f'{_key(type, id, source)}{chr(10)}{installation_uuid}')}"


def _key(type: str | None, id: str, source: str | None) -> str:
    return f"ev\n{type}\n{id}" if source is None else f"ce\n{source}\n{id}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _checked_type(type: object) -> str:
    text = type if isinstance(type, str) else ""
    parts = text.split(".")
    if len(parts) > 2:
        _refuse(f"type: found {quote(text)}, wanted <resource>.<action>")
    resource, action = [*parts, ""][:2]
    for name, part in (("resource", resource), ("action", action)):
        if not _TOKEN.fullmatch(part):
            _refuse(f"{name} in type: found {quote(part)}, wanted 1 to 64 characters of a-z, 0-9 and _")
    return text


def _identifier(name: str, value: object, most: int | None) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        _refuse(f"{name}: found {kind_of(value)}, wanted a string or an integer")
    length = utf16_length(value)
    if length == 0 or (most is not None and length > most):
        _refuse(f"{name}: found {length} characters, wanted {'at least 1' if most is None else f'1 to {most}'}")
    if not is_well_formed(value):
        _refuse(f"{name}: found {quote(value)} with an unpaired surrogate, wanted well-formed Unicode")
    if has_control_characters(value):
        _refuse(f"{name}: found {quote(value)}, wanted no control characters")
    return value


def _matching(name: str, value: object, pattern: re.Pattern[str], wanted: str) -> str | None:
    if value is None:
        return None
    text = str(_identifier(name, value, None))
    if not pattern.fullmatch(text):
        _refuse(f"{name}: found {quote(text)}, wanted {wanted}")
    return text


def _object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(f"{name}: found {kind_of(value)}, wanted an object")
    return dict(value)


def _data(data: object, data_json: object) -> str:
    if data_json is None:
        if data is None:
            _refuse("data: missing, wanted an object")
        return _to_json("data", _object("data", data))
    if data is not None:
        _refuse("data: found beside data_json, wanted one of them")
    if not isinstance(data_json, str):
        _refuse(f"data: found {kind_of(data_json)}, wanted JSON text")
    try:
        # Numbers are not made: they may have any length.
        value = json.loads(data_json, parse_constant=_no_constant, parse_int=len, parse_float=len)
    except (ValueError, RecursionError) as error:
        raise PosthornError("PUBLISH_INVALID", f"data: not valid JSON ({error}), wanted an object") from error
    if not isinstance(value, dict):
        _refuse(f"data: found {kind_of(value)}, wanted an object")
    return data_json.strip()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"found {name}")


def _time(value: object) -> str:
    if value is None:
        return to_rfc3339(datetime.now(timezone.utc))
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            _refuse(f"occurred_at: found {value.isoformat()} without a time zone, wanted an aware datetime")
        return to_rfc3339(value)
    if not isinstance(value, str):
        _refuse(f"occurred_at: found {kind_of(value)}, wanted a datetime or an RFC 3339 time")
    problem = rfc3339_problem(value)
    if problem is not None:
        _refuse(f"occurred_at: found {quote(value)}, {problem}")
    return value


def _to_json(name: str, value: Mapping[str, object]) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        # UTF-8 has no half surrogate pairs; JSON has an escape for them.
        return text if is_well_formed(text) else json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PosthornError("PUBLISH_INVALID", f"{name}: {error}") from error


def _encoded(body: str) -> bytes:
    try:
        return body.encode()
    except UnicodeEncodeError as error:
        raise PosthornError("PUBLISH_INVALID", f"event: {error}, wanted well-formed Unicode") from error


def _refuse(message: str) -> NoReturn:
    raise PosthornError("PUBLISH_INVALID", message)
