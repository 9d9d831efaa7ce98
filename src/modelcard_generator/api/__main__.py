"""`python -m modelcard_generator.api`: the service, with a supervisor that replaces a worker that dies."""

from __future__ import annotations

import argparse
import math
import socket
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from modelcard_generator import settings as configuration
from modelcard_generator.logging.config import setup_logging
from modelcard_generator.monitoring.exposition import prepare_directory


def main() -> int:
    """Returns the exit status: 0 after SIGTERM, 2 for what the caller can mend, 3 if no worker can start."""
    parser = argparse.ArgumentParser(prog="modelcard_generator.api", description="Serves the Model Card Generator.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    try:
        settings = configuration.from_environment()
        listener = _listen(arguments.host, arguments.port)
    except (configuration.SettingsError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    setup_logging(settings.log_dir)
    prepare_directory()
    return _serve(settings, listener)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host} port {port} ({error.strerror}): free it, or choose another by --port"
        ) from None
    listener.set_inheritable(True)
    return listener


def _serve(settings: configuration.Settings, listener: socket.socket) -> int:
    config = uvicorn.Config(
        "modelcard_generator.api.app:create",
        factory=True,
        workers=settings.workers,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # Only the edge may connect (NetworkPolicy), and what stands before it sets the first address.
        forwarded_allow_ips="*",
        # Longer than nginx keeps an idle connection, so that it is not nginx' request that meets the closing.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=math.ceil(settings.request_timeout) + 1,
    )
    supervisor = Multiprocess(config, sockets=[listener])
    supervisor.run()
    return 3 if any(worker.exitcode == STARTUP_FAILURE for worker in supervisor.processes) else 0


if __name__ == "__main__":
    sys.exit(main())
