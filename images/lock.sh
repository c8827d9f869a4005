#!/usr/bin/env bash
# Write the lock of every image from requirements.lock, so that all images run the versions that are tested. Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-annotate --constraint requirements.lock "$@"
}

for name in steps drift; do
  compile --extra "$name" pyproject.toml --output-file "images/$name.lock"
done
for name in deploy serving; do
  compile "images/$name.in" --output-file "images/$name.lock"
done
echo kfp | compile --no-deps - --output-file images/kfp.lock
grep '^hatchling==' requirements.lock | cut -d ' ' -f 1 | compile - --output-file images/build.lock
# What images share is a layer of its own, which a node holds once.
python3 images/shared.py steps drift deploy serving > images/common.lock
python3 images/shared.py steps drift > images/model.lock
