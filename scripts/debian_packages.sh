#!/bin/sh
# What the build and the tests need from Debian: a C++ compiler, Python's headers and venv. As root on Debian they are
# installed; elsewhere what is missing is named, and the build will say the rest.
set -eu
missing=""
command -v c++ >/dev/null 2>&1 || missing="$missing g++"
python=${PYTHON:-python3}
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
"$python" -c 'import os, sysconfig; assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' \
    2>/dev/null || missing="$missing python3-dev"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    # shellcheck disable=SC2086 - a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing
else
    echo "missing:$missing; install them (on Debian: apt-get install$missing)" >&2
    exit 1
fi
