"""What is written to GitHub: one comment of a pull request and one issue per subject, each updated in place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from infra.errors import UserError

AUTHOR = "github-actions[bot]"  # whoever writes with a workflow's own token
PAGE = 100  # the most that GitHub gives at once
ATTEMPTS = 5
BUSY = frozenset({429, 500, 502, 503, 504})
TIMEOUT = 30.0


class BusyError(Exception):
    """GitHub did not answer, or asked to come again."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of a text: `created`, `updated`, `unchanged`, `closed` or `none`, and where it is."""

    what: str
    url: str = ""


class GitHub:
    """One repository. `wait` is the first pause after a failure, in seconds; later ones double."""

    def __init__(self, *, api: str, repository: str, token: str, wait: float = 1.0) -> None:
        self._repository = repository
        self._wait = wait
        self._client = httpx.Client(
            base_url=api.rstrip("/"),
            timeout=TIMEOUT,
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> GitHub:
        """The repository of the workflow that runs. Raises `UserError` outside of one."""
        needed = ("GITHUB_REPOSITORY", "GITHUB_TOKEN")
        if missing := [name for name in needed if not environment.get(name)]:
            raise UserError(f"{', '.join(missing)} not set: run this in a workflow, or set what it would set")
        api = environment.get("GITHUB_API_URL", "https://api.github.com")
        return cls(api=api, repository=environment["GITHUB_REPOSITORY"], token=environment["GITHUB_TOKEN"])

    def comment(self, pull_request: int, body: str) -> Written:
        """Writes the comment whose first line is the body's first line, in place of the one that is there."""
        mark = body.partition("\n")[0]
        for each in self._pages(f"issues/{pull_request}/comments"):
            if each["user"]["login"] == AUTHOR and each["body"].partition("\n")[0].strip() == mark:
                return self._update(f"issues/comments/{each['id']}", each, {"body": body})
        made = self._ask("POST", f"issues/{pull_request}/comments", {"body": body})
        return Written(what="created", url=made["html_url"])

    def pull_request(self, head: str, commit: str) -> int | None:
        """The open pull request of a branch (`OWNER:BRANCH`, forks too) whose newest commit this is."""
        for each in self._pages("pulls", state="open", head=head):
            if each["head"]["sha"] == commit:
                return int(each["number"])
        return None

    def issue(self, title: str, body: str | None, label: str) -> Written:
        """Has one open issue with this title and label say this; with no body, none."""
        for each in self._pages("issues", state="open", labels=label, creator=AUTHOR):
            if each["title"] == title and "pull_request" not in each:
                if body is not None:
                    return self._update(f"issues/{each['number']}", each, {"body": body})
                self._ask("PATCH", f"issues/{each['number']}", {"state": "closed", "state_reason": "completed"})
                return Written(what="closed", url=each["html_url"])
        if body is None:
            return Written(what="none")
        made = self._ask("POST", "issues", {"title": title, "body": body, "labels": [label]})
        return Written(what="created", url=made["html_url"])

    def _update(self, path: str, present: Mapping[str, Any], wanted: Mapping[str, str]) -> Written:
        # GitHub gives back what it was given, with line ends of its own.
        if all((present[key] or "").replace("\r\n", "\n").rstrip() == text.rstrip() for key, text in wanted.items()):
            return Written(what="unchanged", url=present["html_url"])
        return Written(what="updated", url=self._ask("PATCH", path, wanted)["html_url"])

    def _pages(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            found = self._ask("GET", path, query={**query, "per_page": str(PAGE), "page": str(page)})
            yield from found
            if len(found) < PAGE:
                return
            page += 1

    def _ask(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        # What is created could be created twice, by an answer that was lost; the next run then updates the first.
        retrying = Retrying(
            retry=retry_if_exception_type(BusyError),
            stop=stop_after_attempt(ATTEMPTS if method != "POST" else 1),
            wait=wait_exponential_jitter(multiplier=self._wait, jitter=self._wait),
            reraise=True,
        )
        try:
            return retrying(self._once, method, f"/repos/{self._repository}/{path}", body, query)
        except BusyError as error:
            raise UserError(f"GitHub does not answer ({error}): run again later") from None

    def _once(self, method: str, path: str, body: Any, query: Mapping[str, str] | None) -> Any:
        try:
            response = self._client.request(method, path, json=body, params=query)
        except httpx.HTTPError as error:
            raise BusyError(f"{method} {path}: {type(error).__name__}") from None
        if response.status_code in BUSY:
            raise BusyError(f"{method} {path}: {response.status_code}")
        if response.is_error:
            told = response.json().get("message", "") if "json" in response.headers.get("content-type", "") else ""
            raise UserError(
                f"GitHub refuses {method} {path}: {response.status_code} {told}: see the job's `permissions`"
            )
        return response.json()
