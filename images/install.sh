#!/bin/sh
# What an image holds. The Dockerfiles and the tests that run without Docker call this one script:
#   install.sh base             the base image without what no process reads, as a tree of its own
#   install.sh packages LAYER   the packages of a lock that are not there yet, without what no process reads; what they
#                               add as a tree of its own
#   install.sh kubeline         this project, from its wheel, into the folder of the image's PYTHONPATH
# The tests give places and an installer of their own:
set -eu
LOCKS=${LOCKS:-/build/images}
WHEELS=${WHEELS:-/build/wheels}
APP=${APP:-/app}                         # of this project
LIBRARIES=${LIBRARIES:-/usr/lib}         # where the system looks for shared libraries
FONTS=${FONTS:-/var/cache/matplotlib}    # matplotlib's cache
INSTALL=${INSTALL:-python -m pip install}
PYTHON=${PYTHON:-python}
SYSTEM=${SYSTEM:-/}                      # the base
LAYER=${LAYER-/layer}                    # where trees go; empty: packages stay where they are, and nowhere else

# What no process reads: package managers, their libraries and what they keep (dpkg's list of what is installed stays, for
# scanners), Perl, Python's tests, editor, 2to3 and headers, pages in other languages, manuals (licences stay), character
# sets other than UTF-8 for C programs, what manages the system (users, passwords, services, file systems), whose programs
# are those that run with more rights than their caller's, files of the container that this runs in.
base() {
  mkdir -p "$LAYER"
  tar -C "$SYSTEM" --one-file-system --create --file - --anchored --wildcards --no-wildcards-match-slash \
    --exclude="./${LAYER#/}" --exclude=./build --exclude=./.dockerenv --exclude='./proc/*' --exclude='./sys/*' \
    --exclude='./dev/*' --exclude='./tmp/*' --exclude='./var/tmp/*' --exclude='./run/*' \
    --exclude='./var/cache/*' --exclude='./var/log/*' --exclude='./var/lib/apt/*' --exclude='./var/lib/dpkg/*-old' \
    --exclude='./var/lib/dpkg/available' --exclude='./var/lib/dpkg/info/*.[!lm]*' \
    --exclude='./etc/apt' --exclude='./etc/perl' --exclude='./usr/bin/apt*' --exclude='./usr/bin/dpkg*' \
    --exclude='./usr/bin/perl*' --exclude='./usr/bin/pip*' --exclude='./usr/bin/wheel' --exclude='./usr/bin/pydoc*' \
    --exclude='./usr/local/bin/pip*' --exclude='./usr/local/bin/idle*' --exclude='./usr/local/bin/pydoc*' \
    --exclude='./usr/local/bin/2to3*' --exclude='./usr/local/bin/*-config' --exclude='./usr/local/bin/wheel' \
    --exclude='./usr/lib/apt' --exclude='./usr/lib/dpkg' --exclude='./usr/lib/*/perl*' \
    --exclude='./usr/lib/*/libapt-*' --exclude='./usr/lib/*/gconv' --exclude='./usr/share/perl*' \
    --exclude='./usr/lib/*/libgnutls.*' --exclude='./usr/lib/*/libp11-kit.*' --exclude='./usr/lib/*/libhogweed.*' \
    --exclude='./usr/lib/*/libnettle.*' --exclude='./usr/lib/*/libtasn1.*' --exclude='./usr/lib/*/libidn2.*' \
    --exclude='./usr/lib/*/libunistring.*' --exclude='./usr/lib/*/libsemanage.*' --exclude='./usr/lib/*/libsepol.*' \
    --exclude='./usr/lib/*/libext2fs.*' --exclude='./usr/lib/*/libe2p.*' --exclude='./usr/lib/*/libss.*' \
    --exclude='./usr/lib/*/libsystemd.*' --exclude='./usr/lib/*/libgcrypt.*' --exclude='./usr/lib/*/libgpg-error.*' \
    --exclude='./usr/lib/*/security' --exclude='./usr/lib/*/e2fsprogs' \
    $(for name in gpgv logger lslogins su passwd gpasswd chage chfn chsh newgrp expiry mount umount chattr lsattr; do
      printf '%s\n' "--exclude=./usr/bin/$name"
    done) \
    --exclude='./usr/sbin/[!lu]*' --exclude='./usr/sbin/lo*' --exclude='./usr/sbin/ldattach' \
    --exclude='./usr/sbin/u[!p]*' --exclude='./usr/sbin/update-[!c]*' --exclude='./usr/share/locale/*' \
    --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' --exclude='./usr/share/lintian' \
    --exclude='./usr/share/bash-completion' --exclude='./usr/share/bug' --exclude='./usr/share/i18n' \
    --exclude='./usr/share/zoneinfo/right' --exclude='./usr/share/zoneinfo/posix' \
    --exclude='./usr/share/doc/*/[!c]*' --exclude='./usr/share/doc/*/changelog*' \
    --exclude='./usr/lib/python3/dist-packages/*' --exclude='./usr/share/python-wheels' \
    --exclude='./usr/local/share/man' --exclude='./usr/local/include' \
    $(for name in test idlelib tkinter turtledemo lib2to3 ensurepip pydoc_data 'config-*' EXTERNALLY-MANAGED \
      'site-packages/pip*' 'site-packages/setuptools*' 'site-packages/wheel*' 'site-packages/pkg_resources' \
      'site-packages/*distutils*'; do
      printf '%s\n' "--exclude=./usr/lib/python3.*/$name" "--exclude=./usr/local/lib/python3.*/$name"
    done) \
    . | tar -C "$LAYER" --extract --preserve-permissions --same-owner --file -
}

packages() {
  locks="--requirement $LOCKS/$1.lock"
  before=$(mktemp)
  # kfp without its dependencies is all that a step needs of it
  case "$1" in serving | deploy) locks="$locks --requirement $LOCKS/kfp.lock" ;; esac
  # shellcheck disable=SC2086 # several words each
  $INSTALL --no-deps --require-hashes $locks
  cd "$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
  strip
  case "$1" in common | deploy) start "$1" ;; esac
  # the model server runs a step of KFP, and no KFP
  if [ "$1" = serving ]; then rm -rf kfp/cli kfp/client kfp/compiler kfp/kubeflow_client kfp/local kfp/registry; fi
  if [ "$1" = steps ]; then
    # LightGBM needs the OpenMP runtime; a link to the one that scikit-learn brings needs no package of the system
    mkdir -p "$LIBRARIES"
    ln -s "$(find "$PWD/scikit_learn.libs" -name 'libgomp-*.so*' | head -n 1)" "$LIBRARIES/libgomp.so.1"
  fi
  if [ -d matplotlib ] && [ ! -d "$FONTS" ]; then
    # Any user may write to it: matplotlib does not read a cache in a folder where it cannot.
    mkdir -p -m 1777 "$FONTS"
    MPLCONFIGDIR=$FONTS PYTHONPATH=$PWD $PYTHON -c 'import matplotlib.font_manager'
    chmod -R a+rX "$FONTS"
  fi
  if [ -n "$LAYER" ]; then gather; fi
}

# Of the layers that every step has, bytecode of what steps import at their start, and of no more: the rest, nearly half, is
# of modules that hardly a process reads. The layers above keep what pip makes.
start() {
  find . -name __pycache__ -cnewer "$before" -prune -exec rm -r {} +
  case "$1" in
    common)
      modules='numpy.typing pydantic.dataclasses pydantic.type_adapter pydantic.plugin._loader jinja2'
      modules="$modules fsspec.implementations.http s3fs gcsfs adlfs google.auth.transport.requests"
      ;;
    deploy) modules='duckdb kfp.dsl.executor_main kubernetes.client kubernetes.config prometheus_client.parser yaml' ;;
  esac
  for module in $modules; do _KFP_RUNTIME=true $PYTHON -W ignore -c "import $module"; done
}

# What is newer than the beginning: links and folders as well.
gather() {
  rm -rf "$LAYER"
  mkdir -p "$LAYER"
  prefix=$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("data"))')
  find "$prefix" "$FONTS" "$LIBRARIES/libgomp.so.1" -cnewer "$before" -print0 2>/dev/null |
    tar --create --file - --absolute-names --no-recursion --null --files-from - |
    tar -C "$LAYER" --extract --preserve-permissions --same-owner --file -
}

# What no process reads: tests (Evidently calls some of its code so), notebooks and their extensions, what compilers and
# type checkers need, Arrow's network protocol, the other names of its libraries for Python (copies, since a wheel has no
# links), ONNX Runtime for C programs and what it changes models by, how Pygments colours languages other than Python,
# the AWS services other than storage and its sign-in, MLflow's own page, NumPy's builders and tests of extensions, what
# makes cryptography's bindings, and stands in for it, the calls of Kubernetes for kinds of objects that no step asks for,
# and the classes of all kinds (objects are plain JSON here), symbols for debuggers.
strip() {
  find . -type d \( -name tests ! -path './evidently/*' -o -path ./pyarrow/include -o -path ./pyarrow/includes \
    -o -path ./pyarrow/src -o -path ./onnxruntime/transformers -o -path ./onnxruntime/quantization \
    -o -path ./onnxruntime/tools -o -path ./mlflow/server/js \
    -o -path ./jupyterlab_plotly -o -path ./evidently/nbextension \) -prune -exec rm -r {} +
  find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyi' \
    -o -name '*.ipynb' -o -name '*.a' -o -name '*.cc' -o -name '*.c' -o -path './kfp/*_test.py' \) -delete
  rm -f pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight.*.so \
    pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.* pyarrow/_pyarrow_cpp_tests.*.so pyarrow/conftest.py \
    pyarrow/libarrow_python_parquet_encryption.so pyarrow/libarrow_python_parquet_encryption.so.*.* \
    onnxruntime/capi/libonnxruntime.so.*
  rm -rf "$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("data"))')/share/jupyter" \
    numpy/distutils numpy/_core/_simd.*.so numpy/_core/*_tests.*.so cffi pycparser pyasn1_modules
  if [ -d pygments/lexers ]; then
    find pygments/lexers -type f ! -name '__init__.*' ! -name '_mapping.*' ! -name 'python.*' ! -name 'special.*' -delete
  fi
  if [ -d botocore/data ]; then
    find botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -r {} +
  fi
  if [ -f kubernetes/client/models/v1_pod.py ]; then kubernetes; fi
  $PYTHON "$LOCKS/symbols.py" .
}

kubernetes() {
  find kubernetes/client/models -type f ! -name __init__.py -delete
  find kubernetes/client/api -type f ! -name '__init__.py' ! -name 'authorization_v1_api.*' ! -name 'core_v1_api.*' \
    ! -name 'custom_objects_api.*' -delete
  sed -i '/^from kubernetes/d' kubernetes/client/models/__init__.py
  sed -i '/^from kubernetes.client.models/d
    /^from kubernetes.client.api\.\(authorization_v1_api\|core_v1_api\|custom_objects_api\) /!{/^from kubernetes.client.api\./d}' \
    kubernetes/client/__init__.py kubernetes/client/api/__init__.py
  $PYTHON -m compileall -q kubernetes/client/__init__.py kubernetes/client/api/__init__.py kubernetes/client/models
}

kubeline() {
  # shellcheck disable=SC2086 # several words
  $INSTALL --target "$APP" --no-deps --no-index "$WHEELS"/kubeline-*.whl
  $PYTHON -m compileall -q "$APP"
  chmod -R a+rX "$APP" # whatever the umask
}

"$@"
