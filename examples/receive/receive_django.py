"""
A webhook receiver with Django and the Posthorn client, in one file. Settings: CLIENT_SECRET, PORT (3000).

pip install django ./clients/python
"""

import json
import os
import sys

import django
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

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


@csrf_exempt
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    try:
        # The bytes as they came: request.POST would have read them already.
        webhook = verify_webhook(body=request.body, headers=request.headers, secret=SECRET)
    except RequestDataTooBig:
        return HttpResponse(status=413)
    except UnreadablePostError:
        return HttpResponse(status=400)  # the sender went away in the middle
    except PosthornError as error:
        print(f"refused: {error}", flush=True)
        return HttpResponse(status=401)
    # The same delivery can come twice: a real app would look whether it has had this delivery id.
    print(f"{webhook.resource}.{webhook.action} {webhook.delivery_id} {json.dumps(webhook.data)}", flush=True)
    return HttpResponse(status=204)


urlpatterns = [re_path("", receive)]

if __name__ == "__main__":
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        DATA_UPLOAD_MAX_MEMORY_SIZE=MAX_BODY_BYTES,
        LOGGING_CONFIG=None,
    )
    django.setup()
    WSGIRequestHandler.log_message = lambda *_: None
    # For trying it out; behind a real server the application is WSGIHandler() all the same.
    server = ThreadedWSGIServer(("127.0.0.1", PORT), WSGIRequestHandler)
    server.set_app(WSGIHandler())
    print(f"listening on http://127.0.0.1:{PORT}", flush=True)
    server.serve_forever()
