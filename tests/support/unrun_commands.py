"""The commands of pages that no test runs, and why; tests/docs/test_unrun_commands.py checks of them what can be."""

UNRUN = {
    "make ": "a job of CI of its own, or changes this clone",
    "docker ": "needs a Docker engine and a registry; tests/images installs the same images without",
    "for image in steps drift deploy; do": "as the one above",
    "kubectl ": "writes to a cluster; to the embedded one, of plain HTTP, it shows no credentials, and is refused",
    "cd manifests/": "writes to a cluster, by kustomize, which is no part of kubectl",
    "gcloud ": "signs in to a real account of Google's",
    "pip install ": "asks a package index; the environment of the tests has it",
    "cosign ": "verifies an image that a release has published",
    "python -m scripts.": "a program of the Kubeflow catalog's own repository",
    "python -m examples.fraud.demo ": "takes minutes; tests/examples runs it on fewer payments, with a broker",
}


def unrun(command: str) -> str | None:
    """The beginning by which a command is listed here, if it is."""
    return next((begins for begins in UNRUN if command.startswith(begins)), None)
