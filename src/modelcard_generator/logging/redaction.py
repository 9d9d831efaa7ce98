"""Takes secrets out of what is written down, and nothing else: "token expired" stays.

`suspicious` is asked about every line and is cheap; `redact` works on the few that it picks.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "[redacted]"

# Names whose value is a secret, whatever is before them: `db_password`, `X-Api-Key`, `accessToken`; not `token_count`.
SECRET_NAMES = (
    "password", "passwd", "pwd", "secret", "secrets", "token", "authorization", "cookie", "cookies",
    "apikey", "accesskey", "secretkey", "privatekey",
)  # fmt: skip
SEPARATORS = str.maketrans("", "", "_-. ")

AT, K, W, Z = b"@kwz"
find_secret, find_bearer, find_api_token = (re.compile(word).search for word in (b"secret", b"bearer", b"mcg_"))

# After a name and a colon, or after "Bearer", these begin a sentence.
ORDINARY = (
    r"(?!(?:a|an|and|are|authentication|been|cannot|expired|field|for|from|has|in|invalid|is|malformed|missing|must|no|none"
    r"|not|null|of|or|required|revoked|should|the|to|too|true|false|unknown|was|with|wrong)(?![^\s.,;:!?)\"']))"
)
# A string as Python or JSON writes it, or as it is within such a string; without its end, if that was cut off.
QUOTED = r"""(?:b?(?P<quote>["'])(?:\\.|(?!(?P=quote))[^\\])*(?:(?P=quote)|\\?\Z)|\\+["'][^"']*)"""
IS = r"""\\*["']?[ \t]{0,4}[=:][ \t]{0,4}"""
PAIR = re.compile(
    rf"""((?:password|passwd|pwd|secret|token|api[_-]?key|(?:access|secret|private)[_-]?key){IS})"""
    rf"""(?:{QUOTED}|{ORDINARY}(?:(?:bearer|basic|token)[ ]+)?[^\s&"']+[^\s&"]*)""",
    re.IGNORECASE | re.DOTALL,
)
# Their values have blanks in them, and end with the line; and ASGI has them as pairs: `(b'cookie', b'a=b')`.
HEADER = re.compile(
    rf"""((?:authorization|cookie)(?:{IS}|["'],[ ]?))(?:{QUOTED}|{ORDINARY}[^\s"'][^\r\n"]*)""",
    re.IGNORECASE | re.DOTALL,
)
BEARER = re.compile(
    rf"\b(bearer[ \t]+)(?!(?:authorization|scheme|tokens?)\b){ORDINARY}[A-Za-z0-9._~+/=-]+", re.IGNORECASE
)
API_TOKEN = re.compile(r"(mcg_)[A-Za-z0-9_-]{40,}")
PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----).*?(?:(?=-----END [A-Z ]{0,40}PRIVATE KEY-----)|\Z)", re.DOTALL
)
BREAK = re.compile(r"[\s\"<>]|\Z")
PORT = re.compile(r"\d{1,5}(?=[/?#]|\Z)")


def suspicious(line: bytes) -> bool:
    """Whether there may be a secret in a line of JSON: what `redact` finds has one of these words, or an `@`, in it."""
    low = line.lower()
    # A byte is found ten times as fast as a word, so the rare letters of words come first; and a word by `re` twice as
    # fast as by `in`.
    return (
        AT in low
        or (K in low and (b"token" in low or b"cookie" in low or b"key" in low))
        or (W in low and (b"passw" in low or b"pwd" in low))
        or (Z in low and b"authoriz" in low)
        or find_secret(low) is not None
        or find_bearer(low) is not None
        or find_api_token(low) is not None
    )


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret, whatever it looks like."""
    return name.translate(SEPARATORS).lower().endswith(SECRET_NAMES)


def redact(value: Any) -> Any:
    """The same JSON value without secrets: strings, and what is under a name such as `password`, at any depth."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {name: _hidden(each) if is_secret_name(name) else redact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [redact(each) for each in value]
    return value


def _hidden(value: Any) -> Any:
    # `"password": null` and `"has_token": true` hold none.
    return value if value is None or isinstance(value, bool) else HIDDEN


def redact_text(text: str) -> str:
    """The same text without passwords in URLs and pairs, bearer and API tokens, and private keys; in linear time."""
    text = PRIVATE_KEY.sub(rf"\1{HIDDEN}", text)
    if "://" in text:
        first, *rest = text.split("://")
        text = "://".join([first, *map(_without_password, rest)])
    text = HEADER.sub(rf"\1{HIDDEN}", text)
    text = PAIR.sub(rf"\1{HIDDEN}", text)
    text = BEARER.sub(rf"\1{HIDDEN}", text)
    return API_TOKEN.sub(rf"\1{HIDDEN}", text)


def _without_password(text: str) -> str:
    """`text` follows `://`."""
    address = BREAK.split(text, maxsplit=1)[0]
    authority = address.partition("/")[0]
    # A password with a bare `/` in it is no URL any more, but is what an error message about it says.
    at = authority.rfind("@") if "@" in authority else address.rfind("@")
    colon = address.find(":", 0, max(at, 0))
    if colon < 0 or address.startswith("[") or ("@" not in authority and PORT.match(address, colon + 1)):
        return text
    return f"{text[: colon + 1]}{HIDDEN}{text[at:]}"
