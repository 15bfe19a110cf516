"""
Verifies a received webhook by its Standard Webhooks signature, which covers the body, the id and the timestamp. The vendor's
hex HMAC covers only the body, so a captured webhook stays valid with a new timestamp; it is accepted only on request. Both
cover the raw bytes: verify before parsing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ._errors import PosthornError

_HEX_SECRET = re.compile(r"[0-9a-f]{64}")
_WHSEC = re.compile(r"whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)")
_SECONDS = re.compile(r"[0-9]{1,12}")
#: As Standard Webhooks has it.
_SHORTEST_KEY_BYTES = 24


class Headers(Protocol):
    """Any mapping; Django's, Starlette's, Flask's and http.server's headers are some."""

    def items(self) -> Iterable[tuple[str, Any]]: ...


@dataclass(frozen=True)
class VerifiedWebhook:
    #: The same for every attempt: remember it to skip duplicates. None without Standard Webhooks headers.
    delivery_id: str | None
    resource: str | None
    action: str
    installation_uuid: str
    data: dict[str, Any]
    actor: dict[str, Any]


def verify_webhook(
    *,
    body: bytes | str,
    headers: Headers,
    secret: str | Sequence[str],
    allow_unsigned_timestamp: bool = False,
    header_prefix: str = "Sentry-Hook",
    tolerance_s: float = 300,
    now: float | None = None,
) -> VerifiedWebhook:
    """
    `secret` is the client secret (64 lower-case hex digits), or `whsec_…`; several during a rotation.
    `allow_unsigned_timestamp` accepts the vendor's signature if the Standard Webhooks headers are missing. An old webhook
    can't be distinguished from a new one then: refuse every webhook that you have handled before, forever.

    Raises WEBHOOK_INVALID naming the failed check.
    """
    raw = body.encode() if isinstance(body, str) else bytes(body)
    keys = [_key_of(one) for one in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise _invalid("no secret was given")
    found = _lower_case(headers)
    clock = time.time() if now is None else now
    webhook_id, signatures = found.get("webhook-id"), found.get("webhook-signature")
    if not allow_unsigned_timestamp or (webhook_id is not None and signatures is not None):
        if webhook_id is None or signatures is None:
            missing = "webhook-id" if webhook_id is None else "webhook-signature"
            rule = f"{header_prefix}-Signature alone counts only with allow_unsigned_timestamp"
            raise _invalid(f"header {missing} is missing; {rule}")
        timestamp = _checked_time("webhook-timestamp", found, clock, tolerance_s)
        signed = f"{webhook_id}.{timestamp}.".encode(errors="surrogateescape") + raw
        wanted = ["v1," + base64.b64encode(_mac(key, signed)).decode() for key in keys]
        if not _matches(signatures.split(" "), wanted):
            raise _invalid("header webhook-signature: no signature is right for this body and secret")
    else:
        name = f"{header_prefix}-Signature"
        signature = found.get(name.lower())
        if signature is None:
            raise _invalid(f"neither webhook-signature nor {name} is there")
        _checked_time(f"{header_prefix}-Timestamp", found, clock, tolerance_s)
        if not _matches([signature], [_mac(key, raw).hex() for key in keys]):
            raise _invalid(f"header {name}: not right for this body and secret")
    return _parsed(raw, webhook_id, found.get(f"{header_prefix}-Resource".lower()))


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def _matches(found: Sequence[str], wanted: Sequence[str]) -> bool:
    """Every pair is compared in constant time, as text: decoders of base64 and hex skip what they don't know."""
    is_right = False
    for one in found:
        for other in wanted:
            is_right |= hmac.compare_digest(one.encode(errors="surrogateescape"), other.encode())
    return is_right


def _key_of(secret: object) -> bytes:
    """
    The key is the client secret's UTF-8 bytes; `whsec_` is their base64, or that of another sender's key. A secret that is
    empty or cut is a mistake in a setting, and anybody could sign with it.
    """
    text = secret if isinstance(secret, str) else ""
    if _HEX_SECRET.fullmatch(text):
        return text.encode()
    match = _WHSEC.fullmatch(text)
    key = base64.b64decode(match[1]) if match else b""
    if len(key) < _SHORTEST_KEY_BYTES:
        found = "an empty text" if text == "" else f"{len(text)} characters"
        wanted = f"64 lower-case hex digits, or whsec_ and the base64 of at least {_SHORTEST_KEY_BYTES} bytes"
        raise _invalid(f"the secret: found {found}, wanted {wanted}")
    return key


def _checked_time(name: str, headers: dict[str, str], now: float, tolerance_s: float) -> str:
    timestamp = headers.get(name.lower())
    if timestamp is None or not _SECONDS.fullmatch(timestamp):
        found = "none" if timestamp is None else json.dumps(timestamp)
        raise _invalid(f"header {name}: found {found}, wanted unix seconds")
    away_s = abs(now - int(timestamp))
    if away_s > tolerance_s:
        raise _invalid(f"header {name}: {away_s:.0f} s away from now, wanted at most {tolerance_s:g}")
    return timestamp


def _lower_case(headers: Headers) -> dict[str, str]:
    """The first value of each name."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        first = value[0] if isinstance(value, (list, tuple)) and value else value
        if isinstance(first, str):
            found.setdefault(name.lower(), first)
    return found


def _parsed(raw: bytes, webhook_id: str | None, resource: str | None) -> VerifiedWebhook:
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise PosthornError("WEBHOOK_INVALID", "the signature is right, but the body is not JSON") from error
    if not isinstance(value, dict):
        raise _invalid("the signature is right, but the body is not a JSON object")
    installation, data, actor = (_object(value.get(name)) for name in ("installation", "data", "actor"))
    return VerifiedWebhook(webhook_id, resource, str(value.get("action", "")), str(installation.get("uuid", "")), data, actor)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _invalid(why: str) -> PosthornError:
    return PosthornError("WEBHOOK_INVALID", why)
