#!/bin/sh
# The image is a server and a step: options (or nothing) start the model server, a command is run as it is.
# KServe gives options alone; Docker hands the command of a pipeline's step to the entry point.
case "${1:-}" in
  "" | -*) exec python -P -m kubeline_serving "$@" ;;
  *) exec "$@" ;;
esac
