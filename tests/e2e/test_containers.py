"""How the containers run, as the cluster's node says."""

from __future__ import annotations

from tests.e2e.absent import simulated_pods
from tests.e2e.stack import Stack


def test_none_is_root_and_none_can_write_outside_its_volumes(stack: Stack) -> None:
    """Of each real container with a shell: as whom it runs, and whether `/` can be written to."""
    look = "id -u; touch /outside 2>/dev/null && echo written; true"
    nobody, wrong, seen = simulated_pods(stack), [], 0
    for space in stack.namespaces.values():
        for pod in stack.get("pods", space, "--field-selector=status.phase=Running"):
            name = pod["metadata"]["name"]
            for container in [each["name"] for each in pod["spec"]["containers"] if name not in nobody]:
                try:
                    said = stack.kubectl("-n", space, "exec", name, "-c", container, "--", "sh", "-c", look).split()
                except RuntimeError as error:
                    # An image without a shell, or a job that has ended meanwhile.
                    if "executable file not found" in str(error) or "container not found" in str(error):
                        continue
                    raise
                seen += 1
                if said[0] == "0" or "written" in said:
                    wrong.append((name, container, said))
    assert seen > 3
    assert wrong == []
