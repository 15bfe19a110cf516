"""A webhook receiver in Python, without packages. Settings: CLIENT_SECRET, PORT (3000)."""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("CLIENT_SECRET", "").encode()
PORT = int(os.environ.get("PORT", "3000"))
TOLERANCE_S = 300


def is_genuine(headers, body: bytes) -> bool:
    """Whether the request is from who knows the secret, and not an old one sent again."""
    webhook_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    # There are two while a secret is being replaced.
    return any(hmac.compare_digest(found, wanted) for found in headers.get("webhook-signature", "").split(" "))


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        if not is_genuine(self.headers, body):
            self.send_response(401)
        else:
            # The same delivery can come twice: a real app would look whether it has had this webhook-id.
            payload = json.loads(body)
            resource = self.headers["Sentry-Hook-Resource"]
            print(f"{resource}.{payload['action']} {self.headers['webhook-id']} {json.dumps(payload['data'])}", flush=True)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", PORT), Receiver)
print(f"listening on http://127.0.0.1:{PORT}", flush=True)
server.serve_forever()
