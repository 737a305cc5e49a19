"""Has RabbitMQ know each part by a user of its own, with what that part may do. It may be run again.

The definitions go to the management API: as a file that the nodes load, they would take the operator's own user away
(its issue 2095), and a changed password would start every node anew.
"""

import base64
import os
import sys
import time
import urllib.request
from pathlib import Path

DEADLINE = time.monotonic() + 900
user, password = os.environ["RABBITMQ_USER"], os.environ["RABBITMQ_PASSWORD"]
key = base64.b64encode(f"{user}:{password}".encode()).decode()
request = urllib.request.Request(  # noqa: S310 - the cluster's own
    os.environ["RABBITMQ_MANAGEMENT_URL"] + "/api/definitions",
    (Path(os.environ["SECRETS_DIR"]) / "rabbitmq-definitions").read_bytes(),
    {"Authorization": f"Basic {key}", "Content-Type": "application/json"},
)
while True:
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        sys.exit(0)
    except OSError as error:  # the first start of its nodes takes minutes
        print(error, flush=True)
        if time.monotonic() > DEADLINE:
            sys.exit(1)
        time.sleep(3)
