"""Secrets stay in Secrets: never in an environment variable, an argument or a ConfigMap in plain."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from policy.kinds import CONFIG_MAP
from policy.model import UNKNOWN, Control, Node, Resource, Rule, UnknownValueError, Violation
from policy.pods import Container, container_rule, pod_rule

SECRETS = Control(
    "CIS Kubernetes Benchmark, 5.4; OWASP Kubernetes Top Ten, K08 Secrets Management Failures",
    "https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
)
AS_FILES = Control(
    "CIS Kubernetes Benchmark, 5.4.1: prefer using Secrets as files; Checkov CKV_K8S_35",
    "https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
)
SECRET_MODE = 0o440
READ = ("configMap", "downwardAPI", "hostPath", "projected", "secret")

SENSITIVE = frozenset(
    {
        "apikey",
        "credential",
        "credentials",
        "dsn",
        "key",
        "masterauth",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "requirepass",
        "secret",
        "token",
    },
)
# A name that ends so speaks about a secret (PASSWORD_FILE, TOKEN_TTL_SECONDS) and does not hold one.
ABOUT = frozenset(
    {"algorithm", "dir", "encryption", "file", "id", "length", "name", "path", "prefix", "seconds", "ttl", "type"},
)
SWITCHES = frozenset({"", "true", "false"})

PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# A password in a URL, unless the whole of it is filled in later: $(NAME) by Kubernetes, ${NAME} by the application.
URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@:]*:(?!\$\([^)]*\)@|\$?\{[^}]*\}@)[^\s/?#@]+@", re.IGNORECASE)
FILLED_IN = re.compile(r"\$\(\w+\)", re.ASCII)
_PATH = r"/(etc|mnt|run|srv|tmp|usr|var)/"
# A path, or as Grafana has it.
FILE = re.compile(rf"{_PATH}\S+|\$__file\{{{_PATH}[^\s}}]+\}}")
OPTION = re.compile(r"--?(?P<name>[A-Za-z][\w.-]*)(=(?P<value>.*))?", re.DOTALL)
# A line of a configuration file that assigns a literal to a password: YAML, JSON, INI and Logstash; redis.
ASSIGNMENT = re.compile(
    r"""^[ \t]*(-[ \t]+)?
        (["']?[\w.-]*(password|passwd|passphrase|secret|api_?key|auth_token)["']?[ \t]*(=>|[:=])[ \t]*
        |(requirepass|masterauth)[ \t]+)
        (?!["']?([$%<{|>]|(true|false|null|none|no|yes|on|off)\b|["']?\s*,?$))\S""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def sensitive(name: str) -> bool:
    """Whether something of this name would hold a secret."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    lowered = [word.lower() for word in words]
    return bool(SENSITIVE.intersection(lowered)) and "public" not in lowered and lowered[-1] not in ABOUT


def _literal(text: str) -> bool:
    return text.lower() not in SWITCHES and not FILE.fullmatch(text)


def _contains_secret(text: str) -> str | None:
    if PRIVATE_KEY.search(text):
        return "holds a private key; move it to a Secret"
    if URL_PASSWORD.search(text):
        return "holds a URL with a password; take the password from a Secret"
    return None


@container_rule(SECRETS, "Take the value from a Secret with valueFrom.secretKeyRef.")
def no_secret_in_environment(container: Container) -> Iterator[Violation]:
    """No environment variable holds a secret in plain."""
    for variable in container.at("env").elements():
        try:
            yield from _variable(variable)
        except UnknownValueError as unknown:
            yield unknown.path, UNKNOWN


def _variable(variable: Node) -> Iterator[Violation]:
    name, literal = str(variable.at("name").value or ""), variable.at("value")
    text = "" if literal.value is None else str(literal.value)
    if sensitive(name):
        if _literal(text) and not FILLED_IN.fullmatch(text):
            yield literal.path, "holds a secret in plain; take it from a Secret with valueFrom.secretKeyRef"
        if variable.at("valueFrom", "configMapKeyRef").value:
            yield variable.at("valueFrom").path, "takes a secret from a ConfigMap; take it from a Secret"
    elif message := _contains_secret(text):
        yield literal.path, message


@container_rule(SECRETS, "Pass the secret as a mounted file or in an environment variable from a Secret.")
def no_secret_in_arguments(container: Container) -> Iterator[Violation]:
    """No argument holds a secret, for anybody on the node can read arguments."""
    for key in ("command", "args"):
        option = ""  # the one that takes the next argument as its value
        for argument in container.at(key).elements():
            text = str(argument.value or "")
            match = OPTION.fullmatch(text)
            name, value = (match["name"], match["value"]) if match else (option, text)
            option = name if match and value is None else ""
            if sensitive(name) and _literal(value or ""):
                yield argument.path, "passes a secret as an argument; mount it as a file"
            elif message := _contains_secret(text):
                yield argument.path, message


def _config_map(resource: Resource) -> Iterator[Violation]:
    for key, entry in (*resource.root.at("data").entries(), *resource.root.at("binaryData").entries()):
        try:
            text = str(entry.value or "")
        except UnknownValueError as unknown:
            yield unknown.path, UNKNOWN
            continue
        if entry.path.startswith("binaryData"):
            text = base64.b64decode(text).decode("utf-8", errors="replace")
        if message := _contains_secret(text):
            yield entry.path, message
        elif "\n" not in text and sensitive(key) and _literal(text):
            yield entry.path, "holds a secret in plain; move it to a Secret"
        elif ASSIGNMENT.search(text):
            yield entry.path, "assigns a password in plain; refer to a file or variable that comes from a Secret"


no_secret_in_config_map = Rule(
    name="no-secret-in-config-map",
    summary="No ConfigMap holds a secret.",
    control=SECRETS,
    remedy="Move the value to a Secret and mount it beside the ConfigMap.",
    kinds=frozenset({CONFIG_MAP}),
    check=_config_map,
)


@container_rule(AS_FILES, "Mount the Secret as a file and name the file.")
def secrets_as_files(container: Container) -> Iterator[Violation]:
    """Secrets reach containers as files: variables are inherited by every process and end in crash reports."""
    message = "puts a Secret into an environment variable; mount it as a file"
    for variable in container.at("env").elements():
        reference = variable.at("valueFrom", "secretKeyRef")
        if reference.value:
            yield reference.path, message
    for source in container.at("envFrom").elements():
        if source.at("secretRef").value:
            yield source.at("secretRef").path, message


def _sources(volume: Node) -> Iterator[tuple[Node, Node]]:
    """Each source of secrets in a volume, with the file mode that counts for it."""
    yield volume.at("secret"), volume.at("secret", "defaultMode")
    for source in volume.at("projected", "sources").elements():
        yield source.at("secret"), volume.at("projected", "defaultMode")


@pod_rule(SECRETS, "Set defaultMode to 0440.")
def narrow_secret_files(spec: Node) -> Iterator[Violation]:
    """Files of a Secret are readable by the pod's own user and group, and by nobody else."""
    for volume in spec.at("volumes").elements():
        for secret, mode in _sources(volume):
            if secret.value is None:
                continue
            modes = [mode, *(item.at("mode") for item in secret.at("items").elements() if item.at("mode").value)]
            for each in modes:
                if each.value is None or int(each.value) & ~SECRET_MODE:
                    yield each.path, "lets others read or anybody write the secret; set it to 0440"


@pod_rule(SECRETS, "Mount the volume with readOnly: true.")
def read_only_sources(spec: Node) -> Iterator[Violation]:
    """What comes from the cluster or from the node is read, not written: configuration, secrets, tokens, host paths."""
    sources = {
        volume.at("name").value for volume in spec.at("volumes").elements() for kind in READ if volume.at(kind).value
    }
    for key in ("initContainers", "containers"):
        for container in spec.at(key).elements():
            for mount in container.at("volumeMounts").elements():
                if mount.at("name").value in sources and mount.at("readOnly").value is not True:
                    yield mount.at("readOnly").path, "may be written though it is only read; set it to true"


RULES = (
    no_secret_in_environment,
    no_secret_in_arguments,
    no_secret_in_config_map,
    secrets_as_files,
    narrow_secret_files,
    read_only_sources,
)
