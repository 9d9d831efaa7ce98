"""moto's server by TLS, as a program: `python -m infra.environments.local.moto_server ADDRESS PORT CERTIFICATE KEY`."""

from __future__ import annotations

import ssl
import sys
from contextlib import suppress
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

FAREWELL = 1  # seconds that a client has to answer to it


class Handler(MotoRequestHandler):
    """One connection."""

    disable_nagle_algorithm = True  # else the body of an answer waits until its head has arrived

    def log(self, *_: Any) -> None:
        """Nobody reads a line for each request."""

    def finish(self) -> None:
        """Ends TLS before the connection: pgBackRest takes one that breaks off for an attack, and asks again."""
        super().finish()
        self.connection.settimeout(FAREWELL)
        with suppress(OSError, ValueError):
            self.connection.unwrap()


def serve(address: str, port: int, certificate: str, key: str) -> None:
    """Until it is killed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(address, port, application, threaded=True, request_handler=Handler, ssl_context=context)
    server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
