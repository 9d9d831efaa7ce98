"""What pgBackRest and PostgreSQL are told by our process."""

from __future__ import annotations

from modelcard_ops.backup.programs import environment


def test_a_web_identity_reaches_the_programs_and_a_secret_does_not(monkeypatch):
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/backup")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    seen = environment()
    assert seen["AWS_ROLE_ARN"].endswith("role/backup")
    assert seen["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/var/run/secrets/token"
    assert "hunter2" not in seen.values()
