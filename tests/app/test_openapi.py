"""Whatever our own document allows, and much that it does not, is answered without a defect of ours."""

import subprocess
import sys
from pathlib import Path

import httpx


def test_no_request_that_the_document_describes_ends_in_a_defect(service, users, tmp_path):
    alice, _ = users
    done = subprocess.run(
        [
            Path(sys.executable).parent / "schemathesis", "run", f"{service.address}/openapi.json",
            "--header", f"Authorization: {alice.headers['Authorization']}",
            "--checks", "not_a_server_error", "--max-examples", "10", "--phases", "examples,coverage,fuzzing,stateful",
            "--workers", "2", "--request-timeout", "30", "--seed", "1", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    assert "Tested" in done.stdout or "passed" in done.stdout


def test_the_document_names_every_route_and_its_refusals(service):
    document = httpx.get(f"{service.address}/openapi.json").json()
    assert set(document["paths"]) == {
        "/cards", "/cards/{card_id}", "/cards/{card_id}/files", "/files/{file_id}", "/health", "/ready",
    }  # fmt: skip
    assert {"201", "401", "413", "422", "503"} <= set(document["paths"]["/cards"]["post"]["responses"])


def test_there_is_a_page_to_read_it(service):
    assert "swagger" in httpx.get(f"{service.address}/docs").text.lower()
