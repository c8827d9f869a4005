# The images of the steps: docker build --target steps|deploy|drift --tag REGISTRY/kubeline-python-TARGET:VERSION .
# (The image that serves, and that infra_validate runs in, is serving/Dockerfile.)
# Everything is installed here, from the hash-checked locks of images/, by images/install.sh; nothing is at run time.
# Each image lies on the layers of smaller ones, base < common < deploy < model < steps and drift: a node holds them once.
ARG BASE=python:3.11-slim

# Up to the wheel word for word that of the other Dockerfile: one builder makes one layer of it.
# The base without what no process reads, such as pip: packages are installed on the whole base, and what they add is
# copied from there.
FROM ${BASE} AS whole
COPY images/install.sh /build/images/
RUN /bin/sh /build/images/install.sh base

FROM scratch AS base
COPY --from=whole /layer /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8

FROM ${BASE} AS common-packages
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY images/install.sh images/symbols.py images/common.lock /build/images/
RUN /bin/sh /build/images/install.sh packages common

FROM base AS common
COPY --from=common-packages /layer /

FROM ${BASE} AS wheel
ARG PIP_INDEX_URL
COPY images/install.sh images/build.lock /build/images/
RUN pip install --no-deps --require-hashes -r /build/images/build.lock
COPY pyproject.toml README.md LICENSE /source/
COPY components /source/components
COPY pipelines /source/pipelines
COPY serving /source/serving
COPY src /source/src
WORKDIR /source
RUN python -m hatchling build --target wheel --directory /build/wheels && /bin/sh /build/images/install.sh kubeline

# OMP_WAIT_POLICY: under a CPU limit, threads that wait by spinning make a training three to four times slower.
# OPENBLAS_THREAD_TIMEOUT: the same for the threads of numpy, which spin for 2 to this power of cycles, 2**26 without it.
# NUMPY_MADVISE_HUGEPAGE, MIMALLOC_ALLOW_THP (Arrow's allocator): with huge pages a step holds up to a quarter more memory.
# HOME is a folder that any user may write to: Kubernetes may run the image as a user of its own choice.
# PYTHONSAFEPATH: no module is taken from the working directory.
FROM common-packages AS deploy-packages
COPY images/deploy.lock images/kfp.lock /build/images/
RUN /bin/sh /build/images/install.sh packages deploy

FROM common AS deploy-layer
COPY --from=deploy-packages /layer /
LABEL org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONPATH=/app \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/var/cache/matplotlib \
    OMP_WAIT_POLICY=PASSIVE \
    OPENBLAS_THREAD_TIMEOUT=4 \
    NUMPY_MADVISE_HUGEPAGE=0 \
    MIMALLOC_ALLOW_THP=0 \
    DO_NOT_TRACK=1
WORKDIR /app

FROM deploy-layer AS deploy
LABEL org.opencontainers.image.title="kubeline-python-deploy" \
      org.opencontainers.image.description="Kubeline's steps that change a cluster: deploy and rollout"
COPY --from=wheel /app /app
USER 1000:1000

FROM deploy-packages AS model-packages
COPY images/model.lock /build/images/
RUN /bin/sh /build/images/install.sh packages model

FROM deploy-layer AS model-layer
COPY --from=model-packages /layer /

FROM model-packages AS drift-packages
COPY images/drift.lock /build/images/
RUN /bin/sh /build/images/install.sh packages drift

FROM model-layer AS drift
LABEL org.opencontainers.image.title="kubeline-python-drift" \
      org.opencontainers.image.description="Kubeline's step drift_check"
COPY --from=drift-packages /layer /
COPY --from=wheel /app /app
USER 1000:1000

FROM model-packages AS steps-packages
COPY images/steps.lock /build/images/
RUN /bin/sh /build/images/install.sh packages steps

FROM model-layer AS steps
LABEL org.opencontainers.image.title="kubeline-python-steps" \
      org.opencontainers.image.description="Kubeline's steps from load to register"
COPY --from=steps-packages /layer /
COPY --from=wheel /app /app
# The revision that made a model, which train records in its package
ARG KUBELINE_GIT_REVISION=""
ENV KUBELINE_GIT_REVISION=${KUBELINE_GIT_REVISION}
USER 1000:1000
