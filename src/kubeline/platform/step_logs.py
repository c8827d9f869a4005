"""The one sentence in a step's log that says why it failed."""

import re

_SENTENCE = re.compile(r"^\s*(?:UserError|PlatformError): (.+)")
# Lines of KFP's launcher (and drivers), of Argo's executor, and of the KFP executor inside the step.
_LAUNCHER = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w./-]+:\d+\] ?(.*)")
_AROUND = re.compile(r"^(?:time=\S+ level=|Error: exit status|\[KFP Executor )")
_FAILURE = re.compile(
    r"failed to execute component|Component failed to execute|driver execution failed|exit status [1-9]"
)


def has_failed(log: str) -> bool:
    """Whether KFP's launcher says at the end of the log that the step failed."""
    return any(_FAILURE.search(line) for line in log.splitlines()[-40:])


def failure_sentence(log: str) -> str:
    """What a failed step said last; what its launcher or driver said where it said nothing. Empty for an empty log."""
    sentence, said, around = "", "", ""
    for line in log.splitlines():
        if found := _SENTENCE.match(line):
            sentence = found[1]
        elif launcher := _LAUNCHER.match(line):
            around = launcher[1] if line[0] in "EF" else around
        elif line.strip() and not _AROUND.match(line) and line[:1] not in " \t{}":
            said = line
    return " ".join((sentence or said or around).split())
