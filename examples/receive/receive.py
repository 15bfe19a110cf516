"""A webhook receiver in Python, without packages. Settings: CLIENT_SECRET, PORT (3000)."""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("CLIENT_SECRET", "").encode()
PORT = int(os.environ.get("PORT", "3000"))
TOLERANCE_S = 300
MAX_BODY_BYTES = 8 * 1024 * 1024

# Anybody can sign with an empty secret.
if not re.fullmatch(rb"[0-9a-f]{64}", SECRET):
    sys.exit("CLIENT_SECRET: wanted the app's client secret, 64 hex digits")


def is_genuine(headers, body: bytes) -> bool:
    """Whether the request is from who knows the secret, and not an old one sent again."""
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    wanted = b"v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest())
    # There are two while a secret is being replaced.
    found = headers.get("webhook-signature", "").encode().split(b" ")
    return any(hmac.compare_digest(signature, wanted) for signature in found)


class Receiver(BaseHTTPRequestHandler):
    # Seconds that a read may wait, so that a sender that hangs doesn't keep its thread.
    timeout = 30

    def do_POST(self):
        self.send_response(self.receive())
        self.end_headers()

    def receive(self) -> int:
        """The status to answer with."""
        length = self.headers.get("content-length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            return 411
        if int(length) > MAX_BODY_BYTES:
            return 413
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return 400  # the sender went away in the middle
        if not is_genuine(self.headers, body):
            return 401
        # The same delivery can come twice: a real app would look whether it has had this webhook-id.
        try:
            payload = json.loads(body)
            action, data = payload["action"], json.dumps(payload["data"])
        except (ValueError, TypeError, KeyError):
            return 400
        print(f"{self.headers['Sentry-Hook-Resource']}.{action} {self.headers['webhook-id']} {data}", flush=True)
        return 204

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Receiver)
print(f"listening on http://127.0.0.1:{PORT}", flush=True)
server.serve_forever()
