#!/bin/bash
# usage: stage.sh BUILD-FOLDER STAGE
# Installs the build into the folder STAGE, which stands for / in the tests that need it.
set -euo pipefail

build=$1
stage=$2
rm -rf "$stage"
DESTDIR=$stage cmake --install "$build" >"$build/stage.log"
