"""What `mcenv secrets` generates: who vouches for whom, under which names, and what a rotation keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from infra.environments.secrets import generate
from infra.settings import Secrets
from tests.conftest import settings_of

SERVERS = {
    "database_certificate": ["database-postgres", "database-postgres.modelcard", "localhost"],
    "cache_certificate": ["cache-redis", "cache-redis.modelcard", "localhost"],
    "edge_certificate": ["modelcard.example.com"],
}


@pytest.fixture(scope="module")
def secrets():
    return generate(settings_of("prod"), authority=None)


def verify(authority: dict[str, str], certificate: str, name: str, *, at: datetime | None = None) -> None:
    store = Store([x509.load_pem_x509_certificate(authority["certificate"].encode())])
    verifier = PolicyBuilder().store(store).time(at or datetime.now(UTC)).build_server_verifier(x509.DNSName(name))
    verifier.verify(x509.load_pem_x509_certificate(certificate.encode()), [])


def test_it_has_the_form_that_the_settings_read(secrets):
    assert Secrets.model_validate(secrets).cache_password.get_secret_value() == secrets["cache_password"]


@pytest.mark.parametrize(("server", "name"), [(server, name) for server, names in SERVERS.items() for name in names])
def test_clients_that_trust_the_authority_accept_the_server_under_its_names(secrets, server, name):
    verify(secrets["authority"], secrets[server]["certificate"], name)


@pytest.mark.parametrize("server", SERVERS)
def test_no_server_is_accepted_under_another_name(secrets, server):
    with pytest.raises(VerificationError):
        verify(secrets["authority"], secrets[server]["certificate"], "elsewhere.example.com")


@pytest.mark.parametrize("server", SERVERS)
def test_a_certificate_is_good_for_a_year_and_not_for_two(secrets, server):
    name, pem = SERVERS[server][0], secrets[server]["certificate"]
    verify(secrets["authority"], pem, name, at=datetime.now(UTC) + timedelta(days=366))
    with pytest.raises(VerificationError):
        verify(secrets["authority"], pem, name, at=datetime.now(UTC) + timedelta(days=730))


def test_every_password_is_its_own_and_has_no_character_that_sql_or_a_url_would_mind(secrets):
    passwords = [secrets[name] for name in ("database_admin_password", "database_password", "cache_password")]
    assert len(set(passwords)) == 3
    assert all(len(password) == 64 and password.isalnum() for password in passwords)


def test_a_rotation_keeps_the_authority_and_replaces_everything_else(secrets):
    rotated = generate(settings_of("prod"), authority=secrets["authority"])
    assert {name for name in secrets if rotated[name] == secrets[name]} == {"authority"}
    verify(secrets["authority"], rotated["cache_certificate"]["certificate"], "cache-redis")


def test_another_authority_is_not_believed(secrets):
    other = generate(settings_of("prod"), authority=None)
    with pytest.raises(VerificationError):
        verify(other["authority"], secrets["cache_certificate"]["certificate"], "cache-redis")
