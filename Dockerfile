# The images of the steps: docker build --target steps|deploy|drift --tag REGISTRY/kubeline-python-TARGET:VERSION .
# (The image that serves, and that infra_validate runs in, is serving/Dockerfile.)
# Everything is installed here, from the hash-checked locks of images/, by images/install.sh; nothing is at run time.
# Each image lies on the layers of smaller ones, common < deploy < model < steps and drift: a node holds them once.
ARG BASE=python:3.11-slim

# Word for word that of serving/Dockerfile: one builder makes one layer of it.
FROM ${BASE} AS common
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY images/install.sh images/common.lock /build/images/
RUN /bin/sh /build/images/install.sh packages common

FROM ${BASE} AS wheel
ARG PIP_INDEX_URL
COPY images/build.lock /build/images/
RUN pip install --no-deps --require-hashes -r /build/images/build.lock
COPY pyproject.toml README.md LICENSE /source/
COPY components /source/components
COPY pipelines /source/pipelines
COPY serving /source/serving
COPY src /source/src
WORKDIR /source
RUN python -m hatchling build --target wheel --directory /build/wheels

# OMP_WAIT_POLICY: under a CPU limit, threads that wait by spinning make a training three to four times slower.
# HOME is a folder that any user may write to: Kubernetes may run the image as a user of its own choice.
# PYTHONSAFEPATH: no module is taken from the working directory.
FROM common AS deploy-packages
COPY images/deploy.lock /build/images/
RUN /bin/sh /build/images/install.sh packages deploy
LABEL org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/var/cache/matplotlib \
    OMP_WAIT_POLICY=PASSIVE \
    DO_NOT_TRACK=1
WORKDIR /app

FROM deploy-packages AS deploy
LABEL org.opencontainers.image.title="kubeline-python-deploy" \
      org.opencontainers.image.description="Kubeline's steps that change a cluster: deploy and rollout"
COPY --from=wheel /build/wheels /build/wheels
RUN /bin/sh /build/images/install.sh kubeline
USER 1000:1000

FROM deploy-packages AS model-packages
COPY images/model.lock /build/images/
RUN /bin/sh /build/images/install.sh packages model

FROM model-packages AS drift
LABEL org.opencontainers.image.title="kubeline-python-drift" \
      org.opencontainers.image.description="Kubeline's step drift_check"
COPY images/drift.lock /build/images/
RUN /bin/sh /build/images/install.sh packages drift
COPY --from=wheel /build/wheels /build/wheels
RUN /bin/sh /build/images/install.sh kubeline
USER 1000:1000

FROM model-packages AS steps
LABEL org.opencontainers.image.title="kubeline-python-steps" \
      org.opencontainers.image.description="Kubeline's steps from load to register"
COPY images/steps.lock /build/images/
RUN /bin/sh /build/images/install.sh packages steps
COPY --from=wheel /build/wheels /build/wheels
RUN /bin/sh /build/images/install.sh kubeline
# The revision that made a model, which train records in its package
ARG KUBELINE_GIT_REVISION=""
ENV KUBELINE_GIT_REVISION=${KUBELINE_GIT_REVISION}
USER 1000:1000
