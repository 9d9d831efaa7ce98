"""The response to incidents."""

from __future__ import annotations

from pydantic import SecretStr

from infra.components import alertmanager, app, database
from infra.components.incidents import Assessed, Incidents, IncidentsArgs
from infra.parts.ground import Ground, secret
from infra.settings import Settings


def declare_incidents(ground: Ground, *, prometheus: str) -> Incidents:
    """The responder, which asks Prometheus at that URL."""
    settings, secrets = ground.settings, ground.settings.secrets
    application, observability = ground.names["application"], ground.names["observability"]
    return Incidents(
        "incidents",
        IncidentsArgs(
            spaces=ground.spaces,
            image=settings.ops.image,
            settings=settings.incidents,
            notifications=settings.notifications,
            secrets={name: secret(value) for name, value in responder_secrets(settings).items()},
            webhook_token=secret(secrets.incidents_webhook_token),
            token=secret(secrets.incidents_token),
            assessed=Assessed(
                namespaces=ground.names,
                workload=app.WORKLOAD.name,
                service=f"http://{app.WORKLOAD.name}.{application}:{app.PORT}",
                database=f"{database.WORKLOAD.name}.{application}",
                database_port=database.PORT,
                prometheus=prometheus,
                alertmanager=f"https://{alertmanager.WORKLOAD.name}.{observability}:{alertmanager.PORT}",
            ),
            alertmanager=alertmanager.WORKLOAD,
            certificate=ground.issued(secrets.incidents_certificate),
            login=ground.login,
            rollout=ground.rollout,
            protect=settings.protect_data,
        ),
        ground.options,
    )


def responder_secrets(settings: Settings) -> dict[str, SecretStr]:
    """What the responder needs to tell people, by the names of its settings; what is absent is not told."""
    mail, page = settings.notifications.mail, settings.incidents.status_page
    found = {
        "slack_token": settings.notifications.slack_token,
        "mail_password": mail.password if mail else None,
        "status_page_token": page.token if page else None,
        "heartbeat_url": settings.incidents.heartbeat_url,
    }
    return {name: value for name, value in found.items() if value is not None}
