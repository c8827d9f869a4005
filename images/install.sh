#!/bin/sh
# What an image holds. The Dockerfiles and the tests that run without Docker call this one script:
#   install.sh packages IMAGE   the locked packages of an image, without what no process of it reads
#   install.sh kubeline         this project, from its wheel, into the folder of the image's PYTHONPATH
# The tests give places and an installer of their own:
set -eu
LOCKS=${LOCKS:-/build/images}
WHEELS=${WHEELS:-/build/wheels}
PREFIX=${PREFIX:-}                       # of the packages; empty for that of $PYTHON
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
  $INSTALL ${PREFIX:+--prefix=$PREFIX} --no-deps --require-hashes $locks
  if [ "$PREFIX" ]; then cd "$PREFIX"/lib/python3.*/site-packages
  else cd "$($PYTHON -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"; fi
  case $1 in
    steps)
      # LightGBM needs the OpenMP runtime; a link to the one that scikit-learn brings needs no package of the system
      mkdir -p "$LIBRARIES"
      ln -s "$(find "$PWD/scikit_learn.libs" -name 'libgomp-*.so*' | head -n 1)" "$LIBRARIES/libgomp.so.1" ;;
    deploy) find . -type d -name tests -prune -exec rm -r {} + ;;
    serving)
      # Tests, what compilers need, Arrow's network protocol, and the AWS services other than storage and its sign-in.
      find . -type d \( -name tests -o -path ./pyarrow/include \) -prune -exec rm -r {} +
      find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.pyi' \) -delete
      rm pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight.*.so
      find botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -r {} + ;;
  esac
  if [ -d matplotlib ]; then
    # Any user may write to it: matplotlib does not read a cache in a folder where it cannot.
    mkdir -p -m 1777 "$FONTS"
    MPLCONFIGDIR=$FONTS PYTHONPATH=$PWD $PYTHON -c 'import matplotlib.font_manager'
    chmod -R a+rX "$FONTS"
  fi
}

kubeline() {
  # shellcheck disable=SC2086 # several words
  $INSTALL --target "$APP" --no-deps --no-index "$WHEELS"/kubeline-*.whl
  $PYTHON -m compileall -q "$APP"
  chmod -R a+rX "$APP" # whatever the umask
}

"$@"
