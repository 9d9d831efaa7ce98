"""Units as types, so that a setting cannot be given in the wrong one.

Source: Kubernetes API conventions, "Quantities" (apimachinery/pkg/api/resource).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=1, le=100)]
Port = Annotated[int, Field(ge=1, le=65535)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class _Text(str):
    """A string of a fixed form, validated by pydantic and completed by editors through its pattern."""

    __slots__ = ()
    pattern: ClassVar[str]
    example: ClassVar[str]

    @classmethod
    def parse(cls, value: str) -> Self:
        """The value as this type; `ValueError` says what form it should have."""
        if not re.fullmatch(cls.pattern, value):
            raise ValueError(f"{value!r} is not {cls.example}")
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema(strict=True))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return {"type": "string", "pattern": f"^{cls.pattern}$", "description": cls.example}


class Memory(_Text):
    """Memory or storage in binary units, such as `512Mi`."""

    __slots__ = ()
    pattern = r"[1-9][0-9]*(Ki|Mi|Gi|Ti)"
    example = "a size in binary units, such as 512Mi or 4Gi"

    @property
    def bytes(self) -> int:
        """The size in bytes."""
        return int(self[:-2]) * _BINARY[self[-2:]]

    def share(self, percent: int) -> int:
        """That part of the size, in whole mebibytes."""
        return self.bytes * percent // 100 // 2**20

    @classmethod
    def of_bytes(cls, count: int) -> Self:
        """The size in whole mebibytes, rounded up."""
        return cls(f"{-(-count // 2**20)}Mi")


class Cpu(_Text):
    """Processor time in cores (`2`) or thousandths of a core (`500m`)."""

    __slots__ = ()
    pattern = r"[1-9][0-9]*m?"
    example = "a number of cores, such as 2, or of thousandths of a core, such as 500m"

    @property
    def millicores(self) -> int:
        """In thousandths of a core."""
        return int(self[:-1]) if self.endswith("m") else int(self) * 1000

    @classmethod
    def of_millicores(cls, count: int) -> Self:
        """That many thousandths of a core."""
        return cls(f"{count}m")


class Image(_Text):
    """A container image pinned by version tag or digest; registry and repository are spelt out."""

    __slots__ = ()
    pattern = (
        r"[a-z0-9.-]+\.[a-z]+(:[0-9]+)?(/[a-z0-9._-]+)+"
        r"(:v?[0-9][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})"
    )
    example = "an image with its registry and a version tag or digest, such as docker.io/library/redis:7.4.5"


class Host(_Text):
    """A DNS name in lower case."""

    __slots__ = ()
    pattern = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+"
    example = "a host name in lower case, such as modelcard.example.com"


class Address(_Text):
    """A mail address."""

    __slots__ = ()
    pattern = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*"
    example = "a mail address, such as on-call@example.com"


class Clock(_Text):
    """A time of the day in hours and minutes; the day ends at 24:00."""

    __slots__ = ()
    pattern = r"(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
    example = "a time of the day, such as 03:30"


class Label(_Text):
    """A Kubernetes object name (RFC 1123 label)."""

    __slots__ = ()
    pattern = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    example = "a name of lower-case letters, digits and dashes"


class BucketName(_Text):
    """An S3 bucket name without dots, so that TLS certificates match it.

    Source: Amazon S3 user guide, "General purpose bucket naming rules".
    """

    __slots__ = ()
    # S3 takes 63; what belongs to the bucket is called after it, up to `-replica`, and IAM's names end at 64.
    pattern = r"(?!xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9-]{1,52}[a-z0-9](?<!-s3alias)(?<!--ol-s3)(?<!--x-s3)"
    example = (
        "an S3 bucket name: 3 to 54 lower-case letters, digits and dashes, none of S3's reserved prefixes or suffixes"
    )


class Region(_Text):
    """An AWS region, or whatever an S3-compatible storage calls its own."""

    __slots__ = ()
    pattern = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
    example = "a region, such as eu-central-1"


class Endpoint(_Text):
    """Where an S3-compatible storage answers. HTTPS, for pgBackRest speaks nothing else to it."""

    __slots__ = ()
    pattern = r"https://[a-z0-9.-]+(:[1-9][0-9]{0,4})?"
    example = "an address, such as https://storage.example.com:9000"

    @property
    def host(self) -> str:
        """The host, without the port."""
        return self.removeprefix("https://").partition(":")[0]

    @property
    def port(self) -> int:
        """The port, HTTPS' own if none is said."""
        return int(self.removeprefix("https://").partition(":")[2] or 443)


class IdentityProvider(_Text):
    """The identity provider that IAM knows the cluster by. Source: Amazon EKS user guide, "IAM roles for accounts"."""

    __slots__ = ()
    pattern = r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:oidc-provider/[a-z0-9.-]+(/[A-Za-z0-9._-]+)*"
    example = "the ARN of an OIDC provider, such as arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/1A2B"

    @property
    def cloud(self) -> str:
        """The partition of AWS: `aws`, `aws-cn`, `aws-us-gov`."""
        return self.split(":")[1]

    @property
    def account(self) -> str:
        """The account's number."""
        return self.split(":")[4]

    @property
    def issuer(self) -> str:
        """Who signs the cluster's tokens, without `https://`."""
        return self.split(":oidc-provider/")[1]


class Recipient(_Text):
    """An age public key. Source: age-encryption.org, "The age file encryption format": Bech32, 32 bytes."""

    __slots__ = ()
    pattern = r"age1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}"
    example = "an age public key, which begins with age1; `age-keygen` makes one"


class Moment(_Text):
    """A point in time to which data can be brought back: a day stands for the last set of that day."""

    __slots__ = ()
    pattern = r"(newest|[0-9]{4}(-[0-9]{2}){2}(T[0-9]{2}(:[0-9]{2}){1,2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))?)"
    example = "newest, a day (2026-01-31), or a time with its zone (2026-01-31T02:00:00Z)"


class Schedule(_Text):
    """When a CronJob runs, in UTC."""

    __slots__ = ()
    pattern = r"[0-9*/,-]+( [0-9*/,-]+){4}"
    example = "five fields of a schedule, such as 30 2 * * *"
