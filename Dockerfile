# The images of the steps: docker build --target steps|deploy|drift --tag REGISTRY/kubeline-python-TARGET:VERSION .
# (The image that serves, and that infra_validate runs in, is serving/Dockerfile.)
# Everything is installed here, from the hash-checked locks of images/; nothing is at run time.
ARG BASE=python:3.11-slim

FROM ${BASE} AS base
ARG PIP_INDEX_URL
# OMP_WAIT_POLICY: under a CPU limit, threads that wait by spinning make a training three to four times slower.
# HOME is a folder that any user may write to: Kubernetes may run the image as a user of its own choice.
ENV PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    HOME=/tmp \
    OMP_WAIT_POLICY=PASSIVE \
    DO_NOT_TRACK=1
WORKDIR /app
USER 1000:1000

FROM base AS deploy
USER root
COPY images/deploy.lock /locks/
RUN pip install --no-deps --require-hashes -r /locks/deploy.lock \
 && find /usr/local/lib -type d -name tests -path '*-packages/*' -prune -exec rm -r {} +
COPY src/kubeline /app/kubeline
RUN python -m compileall -q /app
USER 1000:1000

FROM base AS drift
USER root
COPY images/drift.lock /locks/
RUN pip install --no-deps --require-hashes -r /locks/drift.lock
COPY src/kubeline /app/kubeline
RUN python -m compileall -q /app
USER 1000:1000

FROM base AS steps
USER root
# LightGBM needs the OpenMP runtime; a link to the one that scikit-learn brings needs no package of the system
COPY images/steps.lock /locks/
RUN pip install --no-deps --require-hashes -r /locks/steps.lock \
 && ln -s "$(find / -name 'libgomp-*.so*' -path '*scikit_learn.libs*' | head -n 1)" /usr/lib/libgomp.so.1
COPY src/kubeline /app/kubeline
RUN python -m compileall -q /app
# The revision that made a model, which train records in its package
ARG KUBELINE_GIT_REVISION=""
ENV KUBELINE_GIT_REVISION=${KUBELINE_GIT_REVISION}
USER 1000:1000
