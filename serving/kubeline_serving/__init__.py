"""The KServe model server for model packages: ``python -m kubeline_serving --model_dir PATH --model_name NAME``."""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]  # `python -m` put the working directory in front of all libraries, and what lies there is none
