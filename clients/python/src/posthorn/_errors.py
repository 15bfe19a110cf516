"""Every fault that this package raises on purpose."""

from __future__ import annotations

from typing import Literal

ErrorCode = Literal["NATS_UNREACHABLE", "NOT_FOUND", "PUBLISH_FAILED", "PUBLISH_INVALID", "RECORD_INVALID", "WEBHOOK_INVALID"]


class PosthornError(Exception):
    """A fault with one of the codes of docs/errors.md. `retryable`: the same call may succeed later by itself."""

    def __init__(self, code: ErrorCode, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.retryable = retryable
