"""The way in: an nginx where the ingress controller would be, and a steady load through it.

`kubectl port-forward` leads to one pod, so it must lead to one that stays when those behind it are replaced.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from infra.components import edge
from tests.app.servers import eventually
from tests.e2e.stack import READY, Stack

NAME = "e2e-entrance"
PORT = 8080
CONFIG = """\
pid /tmp/nginx.pid;
daemon off;
events {{}}
http {{
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  access_log off;
  client_max_body_size 100m;
  # Whom the first pod does not answer, a second one does: ingress-nginx asks three.
  upstream edge {{
    server {backend} max_fails=0;
    server {backend} max_fails=0;
  }}
  server {{
    listen {port};
    location = /entrance/worker {{ return 200 $pid; }}
    location / {{
      proxy_pass http://edge;
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""


def open_entrance(stack: Stack) -> None:
    """Returns when it is ready. One that a killed run has left would lead to a Service that is gone."""
    close_entrance(stack)
    settings = stack.settings
    space = settings.edge.ingress_namespace
    backend = f"{edge.WORKLOAD.name}.{stack.namespaces['application']}.svc:{edge.PORT}"
    metadata = {"name": NAME, "namespace": space}
    container = {
        "name": "nginx",
        "image": str(settings.edge.image),
        "command": ["nginx", "-e", "stderr", "-c", "/config/nginx.conf"],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "tmp", "mountPath": "/tmp"}],
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 10001, "runAsNonRoot": True},
    }
    volumes = [{"name": "config", "configMap": {"name": NAME}}, {"name": "tmp", "emptyDir": {}}]
    template = {"metadata": {"labels": {"app": NAME}}, "spec": {"containers": [container], "volumes": volumes}}
    items: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}},
        {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
            "data": {"nginx.conf": CONFIG.format(backend=backend, port=PORT)},
        },
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"selector": {"matchLabels": {"app": NAME}}, "template": template},
        },
    ]  # fmt: skip
    stack.kubectl(
        "apply", "--server-side", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    stack.kubectl("-n", space, "rollout", "status", f"deployment/{NAME}", f"--timeout={READY}s", within=READY + 10)


def find_edge(stack: Stack, user: httpx.Client) -> None:
    """Its address is another one when the namespace was made anew, and nginx asks for it once."""
    before = user.get("/entrance/worker").text
    reload = ("nginx", "-e", "stderr", "-c", "/config/nginx.conf", "-s", "reload")
    stack.kubectl("-n", stack.settings.edge.ingress_namespace, "exec", f"deployment/{NAME}", "--", *reload)
    # The worker of before closes its connections.
    eventually(lambda: user.get("/entrance/worker").text != before, within=30)


def close_entrance(stack: Stack) -> None:
    """Removes it; its namespace may be somebody else's."""
    space = stack.settings.edge.ingress_namespace
    stack.kubectl("-n", space, "delete", f"deployment/{NAME}", f"configmap/{NAME}", "--ignore-not-found")


class Load:
    """What was asked at a steady rate, and what was not answered as it should be."""

    def __init__(self, user: httpx.Client, rate: float) -> None:
        self.rate = rate
        self._address = {"base_url": user.base_url, "headers": user.headers, "timeout": user.timeout}
        self._clients: list[httpx.Client] = []
        self._own = threading.local()  # threads that share a client close each other's idle connections
        self.sent = 0
        self.failed: list[str] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Until `end`; a late answer does not delay the next question."""
        with ThreadPoolExecutor(32, initializer=self._connect) as pool:
            began = time.monotonic()
            while not self._ended.wait(max(0.0, began + self.sent / self.rate - time.monotonic())):
                self.sent += 1
                pool.submit(self._ask)

        for client in self._clients:
            client.close()

    def end(self) -> None:
        self._ended.set()

    def _connect(self) -> None:
        self._own.client = httpx.Client(**self._address)
        self._clients.append(self._own.client)

    def _ask(self) -> None:
        try:
            answer = self._own.client.get("/cards", params={"limit": 1})
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
        else:
            if answer.status_code != 200:
                self.failed.append(f"{answer.status_code} {answer.text[:200]}")


@contextmanager
def under_load(user: httpx.Client, rate: float = 50) -> Iterator[Load]:
    """Requests a second as long as it lasts."""
    load = Load(user, rate)
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load.end()
        thread.join()
