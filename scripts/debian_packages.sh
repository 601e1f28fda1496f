#!/bin/sh
# What is needed from Debian. Without an argument: for the build, a C++ compiler, Python's headers and venv. With "test":
# a Redis server for the tests of Redis streams, a Java runtime for those of Spark, Chromium and Node for those of the live page. As root on Debian what is missing is
# installed. Elsewhere it is named: the build cannot do without, the tests that need one of them are skipped by name.
set -eu
purpose=${1:-build}
missing=""
if [ "$purpose" = test ]; then
    command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
    if [ -z "${JAVA_HOME:-}" ]; then
        command -v java >/dev/null 2>&1 || missing="$missing default-jre-headless"
    fi
    command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
    command -v node >/dev/null 2>&1 || missing="$missing nodejs"
else
    command -v c++ >/dev/null 2>&1 || missing="$missing g++"
    python=${PYTHON:-python3}
    "$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
    "$python" -c 'import os, sysconfig; assert os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))' \
        2>/dev/null || missing="$missing python3-dev"
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 - a list of packages
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; then
        exit 0
    fi
fi
echo "missing:$missing; install them (on Debian: apt-get install$missing)" >&2
[ "$purpose" = test ]
