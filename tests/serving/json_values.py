"""JSON of any form, with texts that look like its marks."""

from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(st.sampled_from(list('"\\,[]{}:x é😀\n')), max_size=12)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=6),
    max_leaves=40,
)
