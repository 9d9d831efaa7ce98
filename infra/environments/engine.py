"""The real engine, driven by the Automation API with the program that `pulumi up` runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from pulumi import automation
from pulumi.automation import events

from infra.environments.workspace import Workspace, complaint, pulumi_command
from infra.errors import UserError
from infra.program import program
from infra.settings import PROJECT

Progress = Callable[[str], None]
REMINDER = 5.0


class Operation(StrEnum):
    """What the engine is asked to do."""

    UP = "up"
    PREVIEW = "preview"
    DESTROY = "destroy"
    REFRESH = "refresh"
    DRIFT = "drift"  # a refresh that only tells


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that the engine created, updated, replaced or deleted, and the properties that differed."""

    operation: str
    type: str
    name: str
    properties: tuple[str, ...] = ()

    def __str__(self) -> str:
        properties = f" ({', '.join(self.properties)})" if self.properties and self.operation != "create" else ""
        return f"{self.operation:<8} {self.type.removeprefix('kubernetes:')} {self.name}{properties}"


@dataclass(kw_only=True)
class Outcome:
    """What an operation did."""

    operation: Operation
    seconds: float = 0.0
    changes: list[Change] = field(default_factory=list)
    outputs: dict[str, object] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return bool(self.changes)


class DeploymentError(UserError):
    """The engine stopped: what it said about each resource that failed, or each policy that was violated."""


class Engine:
    """One stack of one workspace."""

    def __init__(self, workspace: Workspace, program: Callable[[], None] = program) -> None:
        self.workspace = workspace
        self.program = program
        self._stack: automation.Stack | None = None

    def select(self) -> automation.Stack:
        """The stack, created when the backend does not know it."""
        if self._stack is None:
            space = self.workspace
            if space.kubeconfig:
                # The program runs in this process, where the Kubernetes SDK reads the variable as the provider does.
                os.environ["KUBECONFIG"] = space.kubeconfig
            command = automation.PulumiCommand(str(pulumi_command(space.root).parent.parent))
            options = automation.LocalWorkspaceOptions(
                work_dir=str(space.project),
                env_vars={**space.environment, **_stand_in(space)},
                pulumi_command=command,
                secrets_provider=space.document().get("secretsprovider"),
            )
            with self._clear_errors():
                self._stack = automation.create_or_select_stack(
                    space.stack, project_name=PROJECT, program=self.program, opts=options
                )
        return self._stack

    def run(self, operation: Operation, progress: Progress, *, repair: bool = False) -> Outcome:
        """Performs the operation and tells each change as it happens.

        With `repair`, a lock that a killed run left behind is removed first. Raises `DeploymentError`.
        """
        stack = self.select()
        if repair:
            self._unlock(stack)
        listener = Listener(operation, progress)
        started = time.monotonic()
        with self._clear_errors(listener), listener.reminding():
            match operation:
                case Operation.UP:
                    result = stack.up(on_event=listener, policy_packs=self._packs(), color="never", show_secrets=False)
                    listener.outcome.outputs = {
                        name: each.value for name, each in result.outputs.items() if not each.secret
                    }
                case Operation.PREVIEW:
                    stack.preview(on_event=listener, policy_packs=self._packs(), color="never")
                case Operation.DESTROY:
                    stack.destroy(on_event=listener, color="never", show_secrets=False)
                case Operation.REFRESH:
                    stack.refresh(on_event=listener, color="never", show_secrets=False)
                case Operation.DRIFT:
                    stack.preview_refresh(on_event=listener, color="never")
            if listener.complaints:
                raise DeploymentError(listener.report())
        listener.outcome.seconds = time.monotonic() - started
        return listener.outcome

    def _packs(self) -> list[str]:
        return [str(self.workspace.root / "policy")]

    def _unlock(self, stack: automation.Stack) -> None:
        # Nothing else may hold it: `workspace.exclusive` is ours, and the engine of a killed run dies with its program.
        stack.cancel()

    @contextmanager
    def _clear_errors(self, listener: Listener | None = None) -> Iterator[None]:
        try:
            yield
        except automation.ConcurrentUpdateError:
            name = self.workspace.stack
            raise UserError(
                f"{name}: locked by another update: wait for it, or run `pulumi cancel --stack {name}` if it is gone"
            ) from None
        except automation.CommandError as error:
            if listener and listener.complaints:
                raise DeploymentError(listener.report()) from None
            raise complaint(self.workspace, _streams(str(error))) from None


def _stand_in(space: Workspace) -> dict[str, str]:
    """By what the engine finds the local stack's cloud instead of AWS."""
    if space.cloud is None:
        return {}
    from infra.environments.local.aws_stand_in import attach

    return {"PULUMI_DEBUG_PROVIDERS": attach(space.cloud.access)}


def _streams(text: str) -> str:
    """The command's output without the headings that the Automation API puts around it."""
    return "\n".join(line.removeprefix(" stderr: ").removeprefix(" stdout: ") for line in text.splitlines())


class Listener:
    """Follows the engine's events: tells and keeps what matters."""

    QUIET = frozenset({"same", "read", "refresh"})

    def __init__(self, operation: Operation, progress: Progress) -> None:
        self.outcome = Outcome(operation=operation)
        self.complaints: dict[str, list[str]] = {}
        self._progress = progress
        self._pending: dict[str, str] = {}

    @contextmanager
    def reminding(self) -> Iterator[None]:
        """While the block runs, tells every few seconds what is waited for."""
        done = threading.Event()

        def remind() -> None:
            while not done.wait(REMINDER):
                if waiting := sorted(self._pending.values()):
                    self._progress(f"waiting for {', '.join(waiting)}")

        reminder = threading.Thread(target=remind, daemon=True)
        reminder.start()
        try:
            yield
        finally:
            done.set()
            reminder.join()

    def __call__(self, event: events.EngineEvent) -> None:
        """Takes one event."""
        if event.resource_pre_event:
            self._change(event.resource_pre_event.metadata)
        elif event.res_op_failed_event:
            self._pending.pop(event.res_op_failed_event.metadata.urn, None)
        elif event.res_outputs_event:
            self._pending.pop(event.res_outputs_event.metadata.urn, None)
            self._refreshed(event.res_outputs_event.metadata)
        elif event.policy_event:
            self._policy(event.policy_event)
        elif event.diagnostic_event:
            self._diagnostic(event.diagnostic_event)

    def report(self) -> str:
        """All complaints, one line each: what, where."""
        return "\n".join(f"{where}: {text}" for where, texts in self.complaints.items() for text in texts)

    def _change(self, step: events.StepEventMetadata) -> None:
        if step.op.value not in self.QUIET and not step.type.startswith(("pulumi:", "modelcard:")):
            self._pending[step.urn] = _name(step.urn)
            self._tell(step)

    def _refreshed(self, step: events.StepEventMetadata) -> None:
        # A refresh knows what it found only afterwards.
        if self.outcome.operation in {Operation.REFRESH, Operation.DRIFT} and step.op.value in {"update", "delete"}:
            self._tell(step)

    def _tell(self, step: events.StepEventMetadata) -> None:
        properties = tuple(sorted(step.detailed_diff or step.diffs or ()))
        change = Change(operation=step.op.value, type=step.type, name=_name(step.urn), properties=properties)
        self.outcome.changes.append(change)
        self._progress(str(change))

    def _policy(self, event: events.PolicyEvent) -> None:
        text = f"{event.policy_name}: {_last_line(event.message)}"
        # The engine reports what could not be evaluated as advisory, too: ours fail closed, so that counts.
        if event.enforcement_level == "advisory" and "can't run policy" not in event.message:
            self._progress(f"advice: {text}")
        else:
            self._complain(_name(event.resource_urn or "stack"), text)

    def _diagnostic(self, event: events.DiagnosticEvent) -> None:
        cannot_run = "can't run policy" in event.message
        if (event.severity == "error" or cannot_run) and event.message.strip():
            where = _name(event.urn) if event.urn else "stack"
            for line in _meaning(event.message):
                self._complain(where, line)

    def _complain(self, where: str, text: str) -> None:
        known = self.complaints.setdefault(where, [])
        if text not in known:
            known.append(text)


# What the engine adds to the error of a resource when it gives up the whole update.
_NOISE = ("update failed", "preview failed", "error: update failed", "resource registration", "failed to register")


def _meaning(message: str) -> list[str]:
    lines = [line.strip().removeprefix("error: ").removeprefix("* ") for line in message.strip().splitlines()]
    told = [line for line in lines if line and not line.startswith(("Traceback", "File "))]
    return [line for line in told if line.rstrip(".") not in _NOISE and not line.endswith("occurred:")][:6]


def _last_line(text: str) -> str:
    # The SDK puts the policy's description before what was found.
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), text)


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]
