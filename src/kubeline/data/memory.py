"""Where Arrow takes its memory from: import this before what imports Arrow, which asks once, when it is loaded.

Of chunks that come and go, its default (mimalloc) holds some 100 MB more than jemalloc, and the system takes a quarter
of a second to lay them out. What the environment says comes first; Arrow's packages for Linux have both.
"""

import os
import sys

if sys.platform == "linux":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
