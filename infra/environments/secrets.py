"""What `mcenv secrets init|rotate` writes: passwords, the stack's own certificate authority, and what it issues.

The value goes to Pulumi over standard input and from there, encrypted by the stack's secrets provider, into the
stack file. It is in no argument list, log or output.
"""

from __future__ import annotations

import json
import secrets as randomness
from datetime import UTC, datetime, timedelta
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
    blackbox_exporter,
    cache,
    database,
    edge,
    grafana,
    kube_state_metrics,
    node_exporter,
    postgres_exporter,
    prometheus,
    redis_exporter,
)
from infra.environments.workspace import Workspace
from infra.errors import UserError
from infra.kube.identity import Workload
from infra.settings import PROJECT, Secrets, Settings
from infra.stack import namespace_names

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
}
AUTHORITY_LIFE = timedelta(days=3650)
# The CA/Browser Forum's limit of 398 days is for public servers; a year is what a yearly rotation needs.
CERTIFICATE_LIFE = timedelta(days=397)


def initialise(workspace: Workspace, settings: Settings) -> None:
    """Writes the stack's first secrets; refuses to replace existing ones, for a running database knows them."""
    if KEY in workspace.config():
        raise UserError(
            f"{workspace.stack_file}: secrets exist: replace them with `mcenv secrets rotate {workspace.stack}`"
        )
    _write(workspace, generate(settings, authority=None))


def rotate(workspace: Workspace, settings: Settings, *, authority: bool) -> int:
    """Replaces passwords and certificates, with `authority` also their issuer; returns the number of this rotation.

    The next `up` replaces the pods, and PostgreSQL sets its roles' new passwords as it starts.
    """
    config = workspace.config()
    if KEY not in config:
        raise UserError(f"{workspace.stack_file}: secrets are missing: run `mcenv secrets init {workspace.stack}`")
    present = json.loads(workspace.pulumi("config", "get", KEY).stdout)
    _write(workspace, generate(settings, authority=None if authority else present.get("authority")))
    rotation = settings.rotation + 1
    workspace.pulumi("config", "set", ROTATION, str(rotation))
    return rotation


def generate(settings: Settings, *, authority: dict[str, str] | None) -> dict[str, Any]:
    """Fresh secrets in the form of `infra.settings.Secrets`, issued by this authority or a new one."""
    authority = authority or _authority(f"modelcard-platform {settings.environment}")

    def server(*names: str) -> dict[str, str]:
        return _issue(authority, list(names))

    namespaces = namespace_names(settings)

    def service(workload: Workload) -> dict[str, str]:
        inside = f"{workload.name}.{namespaces[workload.space]}"
        return server(inside, f"{inside}.svc", workload.name, "localhost")

    passwords = [name for name, field in Secrets.model_fields.items() if field.annotation is SecretStr]
    return {
        **{name: randomness.token_hex(PASSWORD_BYTES) for name in passwords},
        "monitoring_login": _login(randomness.token_hex(PASSWORD_BYTES)),
        "authority": authority,
        **{f"{name}_certificate": service(workload) for name, workload in SERVERS.items()},
        "edge_certificate": server(settings.edge.host),
    }


def _login(password: str) -> dict[str, str]:
    return {"password": password, "hash": bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()}


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


def _issue(authority: dict[str, str], names: list[str]) -> dict[str, str]:
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
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
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
