"""Units as types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from infra.quantities import BucketName, Cpu, Host, Image, Label, Memory, Moment

TYPES = (BucketName, Cpu, Host, Image, Label, Memory, Moment)
DIGEST = "sha256:" + "0123456789abcdef" * 4


@given(st.integers(1, 2**20), st.sampled_from(["Ki", "Mi", "Gi", "Ti"]))
def test_a_binary_unit_is_1024_times_the_one_below(number: int, unit: str) -> None:
    power = ["Ki", "Mi", "Gi", "Ti"].index(unit) + 1
    assert Memory.parse(f"{number}{unit}").bytes == number * 1024**power


@given(st.integers(1, 2**50))
def test_memory_of_bytes_never_loses_any(count: int) -> None:
    assert count <= Memory.of_bytes(count).bytes < count + 2**20


@given(st.integers(1, 2**20), st.integers(1, 100))
def test_a_share_never_exceeds_its_percentage(mebibytes: int, percent: int) -> None:
    share = Memory(f"{mebibytes}Mi").share(percent)
    assert share * 100 <= mebibytes * percent < (share + 1) * 100


@given(st.integers(1, 10**6))
def test_a_core_is_a_thousand_millicores(number: int) -> None:
    assert Cpu.parse(f"{number}").millicores == Cpu.parse(f"{number * 1000}m").millicores == number * 1000


@given(st.integers(1, 10**6))
def test_millicores_survive_the_text(number: int) -> None:
    assert Cpu.parse(Cpu.of_millicores(number)).millicores == number


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_what_has_the_form_is_taken_as_it_is(kind: type[Memory], data: st.DataObject) -> None:
    text = data.draw(st.from_regex(kind.pattern, fullmatch=True))
    assert TypeAdapter(kind).validate_python(text) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Memory, "512MB"), (Memory, "4G"), (Memory, "512"), (Memory, "0Mi"), (Memory, "1.5Gi"), (Memory, "-1Gi"),
        (Memory, "1Gi\n"), (Memory, " 1Gi"), (Memory, "500m"), (Memory, ""),
        (Cpu, "0.5"), (Cpu, "500mi"), (Cpu, "0"), (Cpu, "-1"), (Cpu, "1Gi"), (Cpu, ""),
        (Image, "docker.io/library/redis:latest"), (Image, "docker.io/library/redis"), (Image, "redis:7.4.5"),
        (Image, "library/redis:7.4.5"), (Image, "docker.io/library/Redis:7.4.5"), (Image, "docker.io/redis@sha256:12"),
        (Host, "localhost"), (Host, "Modelcard.example.com"), (Host, "https://modelcard.example.com"),
        (Host, "modelcard..com"), (Host, "modelcard.example.com."), (Host, "modelcard.example.com:443"),
        (Label, "Modelcard"), (Label, "-a"), (Label, "a-"), (Label, "a.b"), (Label, "a" * 64), (Label, ""),
        (BucketName, "ab"), (BucketName, "a" * 64), (BucketName, "Backups"), (BucketName, "my.bucket"),
        (BucketName, "my_bucket"), (BucketName, "-bucket"), (BucketName, "bucket-"), (BucketName, "xn--bucket"),
        (Moment, "yesterday"), (Moment, "20260131"), (Moment, "2026-01-31T02:00:00"), (Moment, "2026-01-31 02:00Z"),
        (BucketName, "sthree-bucket"), (BucketName, "bucket-s3alias"), (BucketName, "bucket--ol-s3"),
    ],
)  # fmt: skip
def test_another_form_is_refused_with_the_right_one(kind: type[Memory], text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the next line looks at its text
        kind.parse(text)
    assert str(refused.value) == f"{text!r} is not {kind.example}"


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/library/redis:7.4.5",
        "quay.io/prometheus/prometheus:v3.13.2",
        f"ghcr.io/a/b@{DIGEST}",
        f"r.io:5000/a:1@{DIGEST}",
    ],
)
def test_an_image_is_pinned_by_version_or_digest(image: str) -> None:
    assert Image.parse(image) == image
