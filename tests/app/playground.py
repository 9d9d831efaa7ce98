"""`make app`: the service on loopback against a PostgreSQL and a Redis of its own, for somebody to try."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.app.servers import PostgresServer, RedisServer
from tests.app.service import RunningService


def main() -> None:
    """Serves until Ctrl-C; everything goes with it."""
    with tempfile.TemporaryDirectory(prefix="modelcard-app-") as folder:
        print("starting PostgreSQL and Redis", flush=True)
        postgres, redis = PostgresServer(), RedisServer()
        service = RunningService(Path(folder), postgres.create_database("modelcard"), redis.url)
        try:
            print("starting the service", flush=True)
            service.start()
            service.operate("create", "developer")
            token = service.operate("token", "developer")
            print(
                f"\n  pages      {service.address}/docs\n  health     {service.address}/health\n"
                f"  metrics    {service.address}/metrics\n  log        {service.stdout}\n"
                f"  audit      {service.logs / 'audit.log'}\n  token      {token}\n\n"
                f"  curl -H 'Authorization: Bearer {token}' {service.address}/cards\n\nCtrl-C ends it.",
                flush=True,
            )
            assert service.process is not None
            service.process.wait()
        except KeyboardInterrupt:
            print("\nstopping")
        finally:
            if service.process is not None:
                service.terminate()
            redis.close()
            postgres.close()


if __name__ == "__main__":
    main()
