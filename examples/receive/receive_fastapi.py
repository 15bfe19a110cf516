"""
A webhook receiver with FastAPI and the Posthorn client. Settings: CLIENT_SECRET, PORT (3000).

pip install fastapi uvicorn ./clients/python
"""

import json
import os
import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

from posthorn import PosthornError, verify_webhook

SECRET = os.environ.get("CLIENT_SECRET", "")
PORT = int(os.environ.get("PORT", "3000"))
MAX_BODY_BYTES = 8 * 1024 * 1024

try:
    verify_webhook(body=b"", headers={}, secret=SECRET)
except PosthornError as error:
    # Better now than at the first webhook.
    if str(error).startswith("the secret"):
        sys.exit(f"CLIENT_SECRET: {error}")


app = FastAPI()


@app.post("/{path:path}")
async def receive(request: Request) -> Response:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return Response(status_code=413)
    try:
        webhook = verify_webhook(body=bytes(body), headers=request.headers, secret=SECRET)
    except PosthornError as error:
        print(f"refused: {error}", flush=True)
        return Response(status_code=401)
    # The same delivery can come twice: a real app would look whether it has had this delivery id.
    print(f"{webhook.resource}.{webhook.action} {webhook.delivery_id} {json.dumps(webhook.data)}", flush=True)
    return Response(status_code=204)


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", PORT))
    print(f"listening on http://127.0.0.1:{PORT}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
