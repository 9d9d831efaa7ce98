"""What `mcenv secrets init|rotate` writes: passwords, the stack's own certificate authority, and what it issues.

The value goes to Pulumi over standard input and from there, encrypted by the stack's secrets provider, into the
stack file. It is in no argument list, log or output.
"""

from __future__ import annotations

import json
import os
import secrets as randomness
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from infra.components import (
    adapter,
    alertmanager,
    backup_exporter,
    blackbox_exporter,
    cache,
    database,
    edge,
    elasticsearch,
    elasticsearch_exporter,
    filebeat,
    grafana,
    incidents,
    kibana,
    kube_state_metrics,
    logstash,
    node_exporter,
    postgres_exporter,
    prometheus,
    redis_exporter,
)
from infra.environments.workspace import Workspace
from infra.errors import UserError
from infra.kube import pgbackrest
from infra.kube.identity import Workload, namespace_names
from infra.settings import PROJECT, Secrets, Settings

KEY = f"{PROJECT}:secrets"
ROTATION = f"{PROJECT}:rotation"
PASSWORD_BYTES = 32
BCRYPT_ROUNDS = 10  # a random password needs no slow hash; the servers check it with every request
# Whoever has a certificate for being called by its Service's name.
SERVERS = {
    "database": database.WORKLOAD,
    "cache": cache.WORKLOAD,
    "prometheus": prometheus.WORKLOAD,
    "alertmanager": alertmanager.WORKLOAD,
    "grafana": grafana.WORKLOAD,
    "adapter": adapter.WORKLOAD,
    "kube_state_metrics": kube_state_metrics.WORKLOAD,
    "postgresql_exporter": postgres_exporter.WORKLOAD,
    "redis_exporter": redis_exporter.WORKLOAD,
    "nginx_exporter": edge.WORKLOAD,
    "node_exporter": node_exporter.WORKLOAD,
    "blackbox_exporter": blackbox_exporter.WORKLOAD,
    "incidents": incidents.WORKLOAD,
    "backup_exporter": backup_exporter.WORKLOAD,
    "logstash": logstash.WORKLOAD,
    "kibana": kibana.WORKLOAD,
    "elasticsearch_exporter": elasticsearch_exporter.WORKLOAD,
}
# Whose pods are called by a name of their own as well.
PODS = {prometheus.WORKLOAD: (prometheus.FIRST,)}
# What a rotation must not touch, or backups that are there could never be read again.
BACKUP = ("backup_passphrase", "backup_identity", "backup_recipient")
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
AUTHORITY_LIFE = timedelta(days=3650)
# The CA/Browser Forum's limit of 398 days is for public servers; a year is what a yearly rotation needs.
CERTIFICATE_LIFE = timedelta(days=397)


def initialise(workspace: Workspace, settings: Settings) -> None:
    """Writes the stack's first secrets; refuses to replace existing ones, for a running database knows them."""
    if KEY in workspace.config():
        raise UserError(
            f"{workspace.stack_file}: secrets exist: replace them with `mcenv secrets rotate {workspace.stack}`"
        )
    _write(workspace, generate(settings, authority=None, kept=_recipient(workspace, settings)))


def rotate(workspace: Workspace, settings: Settings, *, authority: bool) -> int:
    """Replaces passwords and certificates, with `authority` also their issuer; returns the number of this rotation.

    The next `up` replaces the pods, and PostgreSQL is told while it runs: docs/decisions/0029.
    """
    config = workspace.config()
    if KEY not in config:
        raise UserError(f"{workspace.stack_file}: secrets are missing: run `mcenv secrets init {workspace.stack}`")
    present = json.loads(workspace.pulumi("config", "get", KEY).stdout)
    # Older backups can be read with these alone.
    kept = {name: present[name] for name in BACKUP if name in present}
    if "backup_recipient" not in kept:
        kept |= _recipient(workspace, settings)
    _write(workspace, generate(settings, authority=None if authority else present.get("authority"), kept=kept))
    rotation = settings.rotation + 1
    workspace.pulumi("config", "set", ROTATION, str(rotation))
    return rotation


def recovery_file(workspace: Workspace) -> Path:
    """Where the private key of whom backups are encrypted to is put, for somebody to take away."""
    return workspace.stack_file.with_name(f"backup-{workspace.stack}.agekey")


def _recipient(workspace: Workspace, settings: Settings) -> dict[str, str]:
    """Whom backups are encrypted to. The private key of a new one is never part of the stack or its cluster."""
    if settings.backup.recipient:
        return {"backup_recipient": settings.backup.recipient}
    identity, recipient = _key_pair()
    file = recovery_file(workspace)
    try:
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:  # noqa: PTH123 - born private
            output.write(f"# public key: {recipient}\n{identity}\n")
    except FileExistsError:
        raise UserError(f"{file}: exists: it may be what opens other backups; put it in a safe place first") from None
    return {"backup_recipient": recipient}


def _key_pair() -> tuple[str, str]:
    """Private and public, as age writes them."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def generate(
    settings: Settings, *, authority: dict[str, str] | None, kept: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Secrets in the form of `infra.settings.Secrets`: fresh but for those kept, by this authority or a new one."""
    authority = authority or _authority(f"modelcard-platform {settings.environment}")

    def server(*names: str) -> dict[str, str]:
        return _issue(authority, list(names))

    namespaces = namespace_names(settings)

    def names_of(workload: Workload) -> list[str]:
        inside = f"{workload.name}.{namespaces[workload.space]}"
        own = [f"{name}.{namespaces[workload.space]}" for name in PODS.get(workload, ())]
        return [inside, f"{inside}.svc", workload.name, *own, "localhost"]

    def service(workload: Workload) -> dict[str, str]:
        return server(*names_of(workload))

    passwords = [name for name, field in Secrets.model_fields.items() if field.annotation is SecretStr]
    return {
        **{name: randomness.token_hex(PASSWORD_BYTES) for name in passwords},
        "monitoring_login": _login(randomness.token_hex(PASSWORD_BYTES)),
        "elasticsearch_setup_login": _login(randomness.token_hex(PASSWORD_BYTES)),
        "authority": authority,
        **{f"{name}_certificate": service(workload) for name, workload in SERVERS.items()},
        "edge_certificate": server(settings.edge.host),
        "backup_client_certificate": _issue(authority, [pgbackrest.CLIENT], CLIENT),
        "backup_identity": _key_pair()[0],
        "backup_recipient": _key_pair()[1],
        # Its nodes are each other's clients; nobody else's certificate lets him join them.
        "elasticsearch_certificate": _issue(authority, names_of(elasticsearch.WORKLOAD), SERVER, CLIENT),
        "filebeat_certificate": _issue(authority, names_of(filebeat.WORKLOAD), CLIENT),
        **(kept or {}),
    }


def loopback_certificate() -> tuple[str, dict[str, str]]:
    """The certificate of an authority that nobody can use again, and what it issued for `localhost`."""
    authority = _authority("modelcard-platform local cloud")
    return authority["certificate"], _issue(authority, ["localhost"])


def _login(password: str) -> dict[str, str]:
    # The prefix that every implementation reads; the algorithm is that of 2b.
    salt = bcrypt.gensalt(BCRYPT_ROUNDS, prefix=b"2a")
    return {"password": password, "hash": bcrypt.hashpw(password.encode(), salt).decode()}


def _write(workspace: Workspace, value: dict[str, Any]) -> None:
    workspace.pulumi("config", "set", "--secret", KEY, stdin=json.dumps(value))


def _authority(name: str) -> dict[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(subject, subject, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def _issue(authority: dict[str, str], names: list[str], *usages: x509.ObjectIdentifier) -> dict[str, str]:
    """A certificate for these names, good for being called, or for `usages`."""
    issuer = x509.load_pem_x509_certificate(authority["certificate"].encode())
    issuer_key = serialization.load_pem_private_key(authority["key"].encode(), None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise UserError("the stack's certificate authority has no EC key: run `mcenv secrets rotate --authority`")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        _builder(subject, issuer.subject, key.public_key(), CERTIFICATE_LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages or [SERVER]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return _pem(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks differ
        .not_valid_after(now + life)
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(), "key": private.decode()}
