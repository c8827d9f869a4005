"""The examples of RFC 7396, appendix A."""

import json

import pytest

from embedded_kserve.kubernetes.merge_patch import merge_patch

EXAMPLES = """
{"a":"b"}              {"a":"c"}                   {"a":"c"}
{"a":"b"}              {"b":"c"}                   {"a":"b","b":"c"}
{"a":"b"}              {"a":null}                  {}
{"a":"b","b":"c"}      {"a":null}                  {"b":"c"}
{"a":["b"]}            {"a":"c"}                   {"a":"c"}
{"a":"c"}              {"a":["b"]}                 {"a":["b"]}
{"a":{"b":"c"}}        {"a":{"b":"d","c":null}}    {"a":{"b":"d"}}
{"a":[{"b":"c"}]}      {"a":[1]}                   {"a":[1]}
["a","b"]              ["c","d"]                   ["c","d"]
{"a":"b"}              ["c"]                       ["c"]
{"a":"foo"}            null                        null
{"a":"foo"}            "bar"                       "bar"
{"e":null}             {"a":1}                     {"e":null,"a":1}
[1,2]                  {"a":"b","c":null}          {"a":"b"}
{}                     {"a":{"bb":{"ccc":null}}}   {"a":{"bb":{}}}
""".strip().splitlines()


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_merge_patch_does_what_the_rfc_says_and_changes_neither_document(example: str) -> None:
    target, patch, result = (json.loads(text) for text in example.split())
    assert merge_patch(target, patch) == result
    assert [target, patch] == [json.loads(text) for text in example.split()[:2]]
