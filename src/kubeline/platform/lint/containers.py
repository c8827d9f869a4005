"""What stands in the containers: images, installs, secrets, CPU and memory, accelerators."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from kubeline.errors import UserError
from kubeline.platform.lint.findings import LintFinding, Place
from kubeline.platform.lint.pipeline import Json, Path, Pipeline
from kubeline.platform.lint.source import texts
from kubeline.quantities import QUANTITY, read_quantity

_MOVING = {"latest", "main", "master", "dev", "develop", "nightly", "edge", "head", "stable", "staging", "prod"}
_INSTALLS = (
    re.compile(r"\b(?:uv )?pip3?\s+install\b"),
    re.compile(r"\b(?:apt-get|apt|conda|mamba|apk|npm)\s+(?:install|add)\b"),
)
_PLACEHOLDER = re.compile(r"\{\{.*\}\}", re.DOTALL)
_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")

_SECRET_NAME = re.compile(
    r"(?i)(?:^|[_-])(?:password|passwd|passphrase|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key"
    r"|[a-z0-9]+[_-]secret|webhook[_-]?url)$"
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|hf_)[A-Za-z0-9_-]{20,}"
    r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/\w+"
    r"|\bAIza[0-9A-Za-z_-]{35}\b|\bsk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"
    r"|://[^/\s:@{}$\"']+:[^/\s:@{}$\"']+@"
)
_SECRET_IN_CODE = re.compile(
    r"(?i)\b[\w]*(?:password|passwd|api_?key|secret_?key|access_?key|auth_?token)[\"']?\s*[:=]\s*[\"'][^\"'{}$\s]{6,}[\"']"
)
_FIELDS = {
    "resourceCpuRequest": "cpu",
    "resourceCpuLimit": "cpu",
    "resourceMemoryRequest": "memory",
    "resourceMemoryLimit": "memory",
}
_NUMBERS = {"cpuRequest": "cpu", "cpuLimit": "cpu", "memoryRequest": "memory", "memoryLimit": "memory"}  # older; GB


def mutable_tags(pipeline: Pipeline) -> Iterator[LintFinding]:
    """A tag that moves makes runs differ, and the cache answers with what another image made."""
    for label, container, path in pipeline.containers():
        image = str(container.get("image", ""))
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@" in image or _PLACEHOLDER.search(image) or (tag and tag.lower() not in _MOVING):
            continue
        which = f"whose tag '{tag}' moves" if tag else "which has no tag and so means the latest"
        words = (
            f"{label} runs the image '{image}', {which}: runs differ without a trace, and the cache takes the outputs "
            "of an older image; pin a version or a digest"
        )
        yield pipeline.finding("mutable-tag", words, (*path, "image"))


def runtime_installs(pipeline: Pipeline) -> Iterator[LintFinding]:
    """What a step installs when it starts."""
    for label, container, path in pipeline.containers():
        words = " ".join(text for key in ("command", "args") for _, text in texts(container.get(key, [])))
        if found := next((match for pattern in _INSTALLS if (match := pattern.search(words))), None):
            sentence = (
                f"{label} runs '{found[0]}' whenever it starts: it needs the network, and what it gets may differ from "
                "run to run; put the packages into the image, and compile with install_kfp_package=False and without "
                "packages_to_install"
            )
            yield pipeline.finding("runtime-install", sentence, (*path, "command"))


def secrets_in_clear(pipeline: Pipeline) -> Iterator[LintFinding]:
    """Values that look like secrets, or stand where only a secret would. The value itself is never shown."""
    seen: set[Path] = set()
    for where, path, name, value in _literals(pipeline):
        if path in seen or not value or _PLACEHOLDER.fullmatch(value.strip()):
            continue
        named = bool(_SECRET_NAME.search(name)) and name not in _secret_names(pipeline)
        in_code = name in {"command", "args"} and _SECRET_IN_CODE.search(value)
        if named or in_code or _SECRET_VALUE.search(value):
            seen.add(path)
            words = (
                f"{where} looks like a secret in the clear, which everyone who may read the pipeline can read; take it "
                "out, make it void, and give it by a Kubernetes secret or Secret Manager"
            )
            yield pipeline.finding("secret-in-clear", words, path)


def _literals(pipeline: Pipeline) -> Iterator[tuple[str, Path, str, str]]:
    """Where, path, name and text of all that is given as a constant."""
    for label, container, path in pipeline.containers():
        for number, pair in enumerate(container.get("env", [])):
            name = str(pair.get("name", ""))
            yield f"the variable {name} of {label}", (*path, "env", number, "value"), name, str(pair.get("value", ""))
        for key in ("command", "args"):
            for inner, text in texts(container.get(key, [])):
                yield f"a text of {label}", (*path, key, *inner), key, text
    for name, definition in pipeline.parameters.items():
        for inner, text in texts(definition.get("defaultValue")):
            path = ("root", "inputDefinitions", "parameters", name, "defaultValue", *inner)
            yield f"the default of the parameter '{name}'", path, _last_name(name, inner), text
    for _, task, body, path in pipeline.tasks():
        for name, given in body.get("inputs", {}).get("parameters", {}).items():
            for inner, text in texts(given.get("runtimeValue", {}).get("constant")):
                place = (*path, "inputs", "parameters", name, "runtimeValue", "constant", *inner)
                yield f"the input '{name}' of task '{task}'", place, _last_name(name, inner), text


def _last_name(name: str, inner: Path) -> str:
    return next((key for key in reversed(inner) if isinstance(key, str)), name)


def _secret_names(pipeline: Pipeline) -> set[str]:
    """Parameters that name a secret, and hold none."""
    named = [value for path, value in texts(pipeline.kubernetes) if "secretNameParameter" in path]
    return {value.removeprefix("pipelinechannel--") for value in named}


def quantities(pipeline: Pipeline, values: Mapping[str, Any]) -> Iterator[LintFinding]:
    """CPU and memory that no Kubernetes can read: the driver fails on them, and the step never starts."""
    for label, _, place, field, text in _asked(pipeline, values):
        if field in _FIELDS and not QUANTITY.fullmatch(text):
            words = (
                f"{label} asks for {_FIELDS[field]} '{text}', which is no Kubernetes quantity, and the step would "
                "never start; give one such as 500m or 4Gi"
            )
            yield pipeline.finding("quantity", words, place)


def nodes_too_small(pipeline: Pipeline, values: Mapping[str, Any], node: Mapping[str, str]) -> Iterator[LintFinding]:
    """What a step asks for beyond a node; its pod would be pending for ever."""
    room = {name: read_quantity(name, text) for name, text in node.items()}
    for label, container, path in pipeline.containers():
        wanted: dict[str, tuple[Decimal, str]] = {}
        for other, _, _, field, text in _asked(pipeline, values):
            name = (_FIELDS | _NUMBERS)[field]
            is_request = field.lower().endswith("request")
            if other != label or not QUANTITY.fullmatch(text) or (name in wanted and not is_request):
                continue  # without a request the limit is what a node must have
            wanted[name] = (read_quantity(name, text), text)
        for name, (kind, count) in _accelerator(container).items():
            wanted[name] = (Decimal(count or "1"), f"{count} {kind}")
        for name, (amount, text) in wanted.items():
            if name in room and amount > room[name]:
                words = (
                    f"{label} asks for {name} {text}, and a node of the given size has {node[name]}: its pod would be "
                    "pending for ever; ask for less, or give a bigger node"
                )
                yield pipeline.finding("node-too-small", words, (*path, "resources"))


def _asked(pipeline: Pipeline, values: Mapping[str, Any]) -> Iterator[tuple[str, Json, Path, str, str]]:
    """Label, container, place, field and text of each request or limit that is known before a run."""
    for label, container, path in pipeline.containers():
        resources = container.get("resources", {})
        for field in (*_FIELDS, *_NUMBERS):
            if field not in resources or f"resource{field[0].upper()}{field[1:]}" in resources:
                continue  # what older platforms read says the same
            text = f"{resources[field]}G" if field in _NUMBERS and "memory" in field else str(resources[field])
            place = (*path, "resources", field)
            if reference := _PARAMETER.fullmatch(text):
                found = pipeline.default_of(reference[1])
                if found is None:
                    continue  # an output of a step
                name, default = found
                if name not in values and default is None:
                    continue  # the run will say
                text = str(values.get(name, default))
                place = ("root", "inputDefinitions", "parameters", name, "defaultValue")
            yield label, container, place, field, text


def accelerators(pipeline: Pipeline) -> Iterator[LintFinding]:
    """Each platform has names of its own for accelerators."""
    for label, container, path in pipeline.containers():
        for kind, _ in _accelerator(container).values():
            if not kind or _PLACEHOLDER.search(kind):
                continue
            on_kubernetes = "/" in kind  # nvidia.com/gpu
            place: Place = "vertex" if on_kubernetes else "kubeflow"
            wanted = "one such as NVIDIA_TESLA_T4" if on_kubernetes else "a resource such as nvidia.com/gpu"
            words = (
                f"{label} asks for the accelerator '{kind}', and this platform knows {wanted}; compile it for the "
                "platform"
            )
            yield pipeline.finding("accelerator", words, (*path, "resources", "accelerator"), places=(place,))


def _accelerator(container: Json) -> dict[str, tuple[str, str]]:
    """Kind and count by the name of the resource; empty where the container asks for none."""
    accelerator = container.get("resources", {}).get("accelerator")
    if not accelerator:
        return {}
    kind = str(accelerator.get("resourceType") or accelerator.get("type", ""))
    count = str(accelerator.get("resourceCount") or accelerator.get("count") or "1")
    return {kind: (kind, count if count.isdecimal() else "1")}


def read_node(text: str) -> dict[str, str]:
    """The size of a node, as ``cpu=4,memory=16Gi,nvidia.com/gpu=1``.

    Raises:
        UserError: when the text is something else.
    """
    node: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        name, equals, amount = (part.strip() for part in pair.partition("="))
        if not equals or not name or not QUANTITY.fullmatch(amount):
            raise UserError(f"--node is '{text}'; expected resources of a node, such as cpu=4,memory=16Gi")
        node[name] = amount
    if odd := [name for name in node if name not in {"cpu", "memory"} and "/" not in name]:
        raise UserError(f"--node names '{odd[0]}'; expected cpu, memory or a resource such as nvidia.com/gpu")
    return node
