#!/bin/sh
# What an image holds. The Dockerfiles and the tests that run without Docker call this one script:
#   install.sh packages LAYER   the packages of a lock that are not there yet, without what no process reads
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

packages() {
  locks="--requirement $LOCKS/$1.lock"
  # kfp without its dependencies is all that a step needs of it
  if [ "$1" = serving ]; then locks="$locks --requirement $LOCKS/kfp.lock"; fi
  # shellcheck disable=SC2086 # several words each
  $INSTALL --no-deps --require-hashes $locks
  cd "$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
  strip
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
}

# What no process reads: tests (Evidently calls some of its code so), notebooks and their extensions, what compilers and
# type checkers need, Arrow's network protocol, the other names of its libraries for Python (copies, since a wheel has no
# links), ONNX Runtime for C programs and what it changes models by, how Pygments colours languages other than Python,
# the AWS services other than storage and its sign-in, MLflow's own page.
strip() {
  find . -type d \( -name tests ! -path './evidently/*' -o -path ./pyarrow/include -o -path ./pyarrow/includes \
    -o -path ./pyarrow/src -o -path ./onnxruntime/transformers -o -path ./onnxruntime/quantization \
    -o -path ./onnxruntime/tools -o -path ./mlflow/server/js \
    -o -path ./jupyterlab_plotly -o -path ./evidently/nbextension \) -prune -exec rm -r {} +
  find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.hpp' -o -name '*.pyi' \
    -o -name '*.ipynb' -o -name '*.a' -o -name '*.cc' -o -path './kfp/*_test.py' \) -delete
  rm -f pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight.*.so \
    pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.* pyarrow/_pyarrow_cpp_tests.*.so pyarrow/conftest.py \
    pyarrow/libarrow_python_parquet_encryption.so pyarrow/libarrow_python_parquet_encryption.so.*.* \
    onnxruntime/capi/libonnxruntime.so.*
  rm -rf "$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("data"))')/share/jupyter"
  if [ -d pygments/lexers ]; then
    find pygments/lexers -type f ! -name '__init__.*' ! -name '_mapping.*' ! -name 'python.*' ! -name 'special.*' -delete
  fi
  if [ -d botocore/data ]; then
    find botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -r {} +
  fi
}

kubeline() {
  # shellcheck disable=SC2086 # several words
  $INSTALL --target "$APP" --no-deps --no-index "$WHEELS"/kubeline-*.whl
  $PYTHON -m compileall -q "$APP"
  chmod -R a+rX "$APP" # whatever the umask
}

"$@"
