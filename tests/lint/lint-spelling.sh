#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Words that are never spelled so; tests/lint/spelling-allowed holds those that are meant.
set -eu
cd "$1"
paths=
for path in agent rpc events storage gluster virt fleet ctl bench contrib doc tests README.md \
    CONTRIBUTING.md NEWS check quickstart run configure.ac Makefile.am; do
    [ ! -e "$path" ] || paths="$paths $path"
done
# shellcheck disable=SC2086 # names without blanks
find $paths -name node_modules -prune -o -name __pycache__ -prune -o -path tests/fuzz/corpus -prune \
    -o -type f -print0 | xargs -0 codespell -q 3 -I tests/lint/spelling-allowed
