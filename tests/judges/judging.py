"""Runs the judges: kube-score and checkov on objects, checkov and cloudsplaining on what is declared for AWS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from policy.documents import IDENTITY, TRUST, texts
from policy.model import Resource
from tests.judges.plan import plan

TOOLS = Path(__file__).parents[2] / ".tools"
KUBE_SCORE = TOOLS / "bin" / "kube-score"
VENV = TOOLS / "judges" / "bin"
OK = 10  # kube-score's grade of what is in order
# What cloudsplaining calls a risk of an identity's policy.
RISKS = (
    "allows_privilege_escalation",
    "allows_data_exfiltration_actions",
    "permissions_management_without_constraints",
    "credentials_exposure",
    "service_wildcard",
)
Manifest = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Verdict:
    """What a judge says against one object: where it is, which one, and what."""

    judge: str
    place: str  # the namespace of an object, or the file of a plan
    name: str
    finding: str


def kube_score(manifests: Iterable[Manifest]) -> list[Verdict]:
    """Everything that kube-score does not find in order."""
    text = yaml.dump_all([dict(each) for each in manifests], Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    run = subprocess.run(
        [KUBE_SCORE, "score", "-", "--output-format", "json"], input=text, capture_output=True, text=True, check=False
    )
    assert run.stdout, run.stderr
    return [
        Verdict(
            "kube-score", judged["object_meta"].get("namespace", ""), judged["object_meta"]["name"], said["summary"]
        )
        for judged in json.loads(run.stdout)
        for check in judged["checks"]
        if check["grade"] < OK and not check["skipped"]
        for said in check["comments"] or ()
    ]


def checkov(files: Mapping[str, str], framework: str) -> list[Verdict]:
    """Everything that checkov finds in these files, by one process. Its first seconds go into loading its checks."""
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        command = [VENV / "python", VENV / "checkov", "--directory", folder, "--framework", framework]
        run = subprocess.run(
            [*command, "--skip-download", "--quiet", "--output", "json"],
            env={**os.environ, "LOG_LEVEL": "CRITICAL"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.stdout, run.stderr
    report = json.loads(run.stdout)
    if "results" not in report:  # it found nothing to judge
        return []
    assert not report["summary"]["parsing_errors"], report["summary"]
    return [
        Verdict("checkov", *_place(each["resource"], Path(each["file_path"]).name), each["check_id"])
        for each in report["results"]["failed_checks"]
    ]


def _place(resource: str, file: str) -> tuple[str, str]:
    """`Deployment.modelcard.app` of an object, `aws_s3_bucket.backups` of a plan."""
    kind, _, rest = resource.partition(".")
    if kind.startswith("aws_"):
        return file, rest
    namespace, _, name = rest.partition(".")
    return namespace, name.partition(" ")[0]


def checkov_objects(manifests: Iterable[Manifest]) -> list[Verdict]:
    """What checkov says of Kubernetes' objects."""
    text = yaml.dump_all([dict(each) for each in manifests], Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
    return checkov({"objects.yaml": text}, "kubernetes")


def checkov_plans(plans: Mapping[str, Iterable[Resource]]) -> list[Verdict]:
    """What checkov says of what is declared for AWS, in the shape of Terraform's plan, a file each."""
    files = {f"{name}.json": json.dumps(plan(resources)) for name, resources in plans.items()}
    return checkov(files, "terraform_plan") if files else []


def cloudsplaining(resources: Iterable[Resource]) -> list[Verdict]:
    """What cloudsplaining says of the policies of identities."""
    documents = {
        f"{resource.name}{text.path}": str(text.value)
        for resource in resources
        if resource.type in {*IDENTITY, *TRUST}
        for text in texts(resource)
        if text.path != "assumeRolePolicy"
    }
    script = (
        "import json, sys\n"
        "from cloudsplaining.scan.policy_document import PolicyDocument\n"
        "for name, text in json.load(sys.stdin).items():\n"
        "    document = PolicyDocument(json.loads(text))\n"
        "    print(json.dumps([name, [risk for risk in sys.argv[1:] if getattr(document, risk)]]))\n"
    )
    run = subprocess.run(
        [VENV / "python", "-c", script, *RISKS], input=json.dumps(documents), capture_output=True, text=True, check=True
    )
    return [
        Verdict("cloudsplaining", "", name, risk)
        for name, found in map(json.loads, run.stdout.splitlines())
        for risk in found
    ]


def versions() -> dict[str, str]:
    """Which judges there are."""
    score = subprocess.run([KUBE_SCORE, "version"], capture_output=True, text=True, check=False)
    script = "from importlib.metadata import version as v; print(v('checkov'), v('cloudsplaining'))"
    run = subprocess.run([VENV / "python", "-c", script], capture_output=True, text=True, check=True)
    first, second = run.stdout.split()
    told = (score.stdout + score.stderr).replace(",", " ").split()
    return {
        "kube-score": next((word for word in told if word[:1].isdigit() or word[:2] == "v1"), "?"),
        "checkov": first,
        "cloudsplaining": second,
    }
