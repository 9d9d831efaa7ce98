"""No secret is written down, and no ordinary word is lost."""

from __future__ import annotations

import json
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcard_generator.logging import config, redaction
from tests.app.test_logging import raised, record

HIDDEN = redaction.HIDDEN
TOKEN = "mcg_" + "aB3_-" * 8
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB\nsecretmaterial\n-----END EC PRIVATE KEY-----"


def written(**attributes) -> str:
    return config.StructuredFormatter().line(record(**attributes)).decode()


@pytest.mark.parametrize(("text", "expected"), [
    ("redis://:hunter2@cache:6379/0", "redis://:[redacted]@cache:6379/0"),
    ("postgresql://app:hunter2@db/x?a=1", "postgresql://app:[redacted]@db/x?a=1"),
    ("to POSTGRES://app:hu@nt@er2@db:5432 failed", "to POSTGRES://app:[redacted]@db:5432 failed"),
    ("redis://:hu/nt2@cache/0", "redis://:[redacted]@cache/0"),
    ("http://a/?next=redis://:hunter2@h", "http://a/?next=redis://:[redacted]@h"),
    ("http://a:80/?next=redis://:hunter2@h", "http://a:80/?next=redis://:[redacted]@h"),
    ("x://u:hunter2@h,x://u:hunter2@h", "x://u:[redacted]@h,x://u:[redacted]@h"),
    ("Authorization: Bearer hunter2.x", "Authorization: [redacted]"),
    ("{'Authorization': 'Basic aHVudGVyMg==', 'a': 1}", "{'Authorization': [redacted], 'a': 1}"),
    ("Authorization: token hunter2", "Authorization: [redacted]"),
    ("[(b'cookie', b'a=hunter2; b=hunter2'), (b'host', b'x')]", "[(b'cookie', [redacted]), (b'host', b'x')]"),
    ("{b'token': b'hunter2 hunter2', 'a': 1}", "{b'token': [redacted], 'a': 1}"),
    ('{\\"password\\": \\"hunter2 hunter2\\", \\"a\\": 1}', '{\\"password\\": [redacted]", \\"a\\": 1}'),
    ("sent Bearer hunter2", "sent Bearer [redacted]"),
    ("bearer  hunter2-_~+/=", "bearer  [redacted]"),
    (f"token {TOKEN} revoked", "token mcg_[redacted] revoked"),
    (f"{TOKEN}", "mcg_[redacted]"),
    ("password=hunter2 host=x", "password=[redacted] host=x"),
    ("PASSWORD: hunter2", "PASSWORD: [redacted]"),
    ("passwd = 'hun ter2' x", "passwd = [redacted] x"),
    ('password="hun\\"ter2" x', "password=[redacted] x"),
    ('{"password": "hunter2", "a": 1}', '{"password": [redacted], "a": 1}'),
    ("{'db_password': 'hunter2', 'a': 1}", "{'db_password': [redacted], 'a': 1}"),
    ("/login?token=hunter2&page=2", "/login?token=[redacted]&page=2"),
    ("token: hunter2", "token: [redacted]"),
    ("access_token=hunter2", "access_token=[redacted]"),
    ("X-Api-Key: hunter2", "X-Api-Key: [redacted]"),
    ("apikey=hunter2", "apikey=[redacted]"),
    ("client_secret=hunter2;x", "client_secret=[redacted]"),
    ("Cookie: a=hunter2; b=hunter2", "Cookie: [redacted]"),
    ("Set-Cookie: a=hunter2; Path=/\nHost: x", "Set-Cookie: [redacted]\nHost: x"),
    ('password="hunter2', "password=[redacted]"),
    (KEY, "-----BEGIN EC PRIVATE KEY-----[redacted]-----END EC PRIVATE KEY-----"),
    (KEY[:50], "-----BEGIN EC PRIVATE KEY-----[redacted]"),
])  # fmt: skip
def test_a_secret_in_a_text_is_hidden(text, expected):
    assert redaction.redact_text(text) == expected
    assert json.loads(written(msg=text))["message"] == expected
    assert json.loads(written(msg="%s", args=(text,), nested=[{"x": text}]))["nested"] == [{"x": expected}]


@pytest.mark.parametrize("text", [
    "token expired", "Token: expired", "token is missing", "invalid token", "no token", "the password is wrong",
    "password: Field required", "password must be set", "tokenizer: bert", "max_tokens=512", "tokens: 5",
    "secretary: Ann",
    "bearer of news", "Bearer token missing", "cookies are fine", "keyword=x", "monkey: x", "a key is a key",
    "http://host:8080/a@b", "http://host/a", "mail ada@example.org", "https://example.org/@ada", "see a://b and c@d",
    "http://[::1]:8080/x@y", "mcg_short", "mcg_", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
    "card_id=1 user_id=2", "author: Ann", "authorization: required", "secret: not found", "https://u@host/x",
    "passport: x", "compass=1", "week worker zoo @",
])  # fmt: skip
def test_ordinary_words_stay(text):
    assert redaction.redact_text(text) == text
    assert json.loads(written(msg=text))["message"] == text


@pytest.mark.parametrize("name", [
    "password", "PASSWORD", "passwd", "db_password", "secret", "client_secret", "token", "accessToken",
    "Authorization",
    "proxy-authorization", "api_key", "apiKey", "X-Api-Key", "api-key", "cookie", "Set-Cookie", "cookies",
    "private_key",
    "aws_secret_access_key", "pwd", "secrets",
])  # fmt: skip
@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"a": "hunter2"}, b"hunter2", 5550123])
def test_what_is_under_a_secret_name_is_hidden(name, value):
    line = written(extra={name: value}, nested=[{"deeper": {name: value}}])
    assert "hunter2" not in line
    assert "5550123" not in line
    assert json.loads(line)[name] == HIDDEN


@pytest.mark.parametrize(("name", "value"), [
    ("card_id", "c"), ("user_id", "u"), ("token_count", 5), ("tokens", 5), ("tokenizer", "bert"), ("key", "k"),
    ("keys", [1]),
    ("has_token", True), ("password", None), ("secret_name", "x"), ("cookie_policy", "strict"), ("author", "Ann"),
    ("authors", ["Ann"]), ("request_id", "r"), ("monkey", "m"),
])  # fmt: skip
def test_what_is_under_any_other_name_stays(name, value):
    assert json.loads(written(extra={name: value}))[name] == value


def connect(url: str) -> None:
    raise ConnectionError(f"{url}; {TOKEN}")


def test_an_exception_tells_no_secret():
    error = raised(lambda: exec("connect('redis://:hunter2@cache refused')", {"connect": connect}))  # noqa: S102
    line = written(exc_info=(type(error), error, error.__traceback__))
    assert "hunter2" not in line
    assert TOKEN not in line
    assert "cache refused" in line


def test_a_secret_that_could_not_be_serialised_is_hidden():
    line = written(msg="%d", args=(f"password={'hunter'}2",), token=object(), nested={2: "\ud800", "token": "hunter2"})
    assert "hunter2" not in line
    assert json.loads(line)["token"] == HIDDEN


def test_a_secret_in_a_long_record_is_hidden():
    line = written(
        msg="x" * 100_000 + " password=hunter2 " + "y" * 2_000_000, value=[f"{TOKEN} "] * 99, other=f"{TOKEN} " * 40_000
    )
    assert "hunter2" not in line
    assert "aB3_-" not in line


def test_a_secret_at_the_place_of_a_cut_is_hidden():
    line = written(msg="x" * (config.MAX_LINE // 8 - 60) + KEY + "y" * 1_000_000)
    assert "secretmaterial" not in line


@pytest.mark.parametrize("part", [
    "://", "://a:", "x://a:b", "password", "password=", "password='", 'token:"', "Bearer ", "mcg_", "a" * 50,
    "cookie: ",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN A", "@", "\\", "authorization:'", "://a:\"", "token :    ",
])  # fmt: skip
def test_no_text_takes_long(part):
    text = part * (300_000 // len(part))
    began = time.process_time()
    redaction.redact_text(text)
    assert time.process_time() - began < 2


SECRETS = st.sampled_from(
    [
        "password=hunter2",
        "Bearer hunter2",
        "a://b:hunter2@c",
        f"mcg_{'hunter2' * 6}",
        "cookie: hunter2",
        "secret='hunter2'",
    ]
)


@given(before=st.text(), secret=SECRETS, after=st.text())
def test_a_secret_is_hidden_between_any_texts(before, secret, after):
    line = written(msg=f"{before} {secret} {after.replace('hunter2', '')}", value={"a": [secret]})
    assert "hunter2" not in line.replace(before, "")


@given(text=st.text())
def test_what_is_redacted_once_stays_the_same(text):
    once = redaction.redact_text(text)
    assert redaction.redact_text(once) == once


def test_what_the_log_writes_is_redacted(tmp_path, capfd):
    handler = config.StdoutHandler(config.StructuredFormatter())
    logger = logging.Logger("any")  # noqa: LOG001 - one that nobody else has
    logger.addHandler(handler)
    logger.error("password=%s", "hunter2")
    assert json.loads(capfd.readouterr().out)["message"] == f"password={HIDDEN}"
