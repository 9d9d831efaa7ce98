"""What `mcenv secrets` generates: who vouches for whom, under which names, and what a rotation keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from pyrage import x25519

from infra.environments.secrets import BACKUP, _recipient, generate
from infra.errors import UserError
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
    passwords = [secrets[name] for name in ("database_password", "database_monitor_password", "cache_password")]
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


def test_a_rotation_keeps_what_older_backups_are_read_with(secrets):
    kept = {name: secrets[name] for name in BACKUP}
    rotated = generate(settings_of("prod"), authority=secrets["authority"], kept=kept)
    assert {name for name in secrets if rotated[name] == secrets[name]} == {"authority", *BACKUP}


def test_the_backups_client_has_a_certificate_that_serves_nobody(secrets):
    certificate = x509.load_pem_x509_certificate(secrets["backup_client_certificate"]["certificate"].encode())
    (usage,) = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert usage == ExtendedKeyUsageOID.CLIENT_AUTH
    assert certificate.subject.rfc4514_string() == "CN=modelcard-backup"


def test_the_keys_of_backups_are_ages(secrets):
    identity = x25519.Identity.from_str(secrets["backup_identity"])
    assert secrets["backup_recipient"].startswith("age1")
    assert str(identity.to_public()) != secrets["backup_recipient"]


class Space:
    """A workspace, as far as a key file needs one."""

    def __init__(self, folder):
        self.stack, self.stack_file = "dev", folder / "Pulumi.dev.yaml"


def test_the_private_key_of_the_recipient_is_given_to_a_person_and_to_no_stack(tmp_path):
    made = _recipient(Space(tmp_path), settings_of("dev"))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    identity = x25519.Identity.from_str(file.read_text().splitlines()[-1])
    assert made == {"backup_recipient": str(identity.to_public())}


def test_a_key_file_is_never_written_over(tmp_path):
    _recipient(Space(tmp_path), settings_of("dev"))
    with pytest.raises(UserError, match="safe place"):
        _recipient(Space(tmp_path), settings_of("dev"))


def test_a_recipient_of_ones_own_is_taken(tmp_path):
    own = str(x25519.Identity.generate().to_public())
    assert _recipient(Space(tmp_path), settings_of("dev", backup={"recipient": own})) == {"backup_recipient": own}
    assert list(tmp_path.iterdir()) == []
