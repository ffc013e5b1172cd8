#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No script has anything that the shell checker complains of, but for what is meant:
#   SC1007 empty values, SC2015 'a && b || c' where c is the failure, SC2016 patterns in quotes,
#   SC2034 and SC2154 names shared with a sourced file, SC3013 test -nt, which every sh here has.
set -eu
cd "$1"
scripts=$(find . -path ./build -prune -o -path ./build-aux -prune -o -path ./.git -prune -o \
    -name node_modules -prune -o -name autom4te.cache -prune -o \
    -type f \( -perm -u+x -o -name '*.sh' \) -print | while read -r file; do
    case $file in ./configure* | ./config.status*) continue ;; esac
    head -c 30 "$file" | head -1 | grep -aqE '^#! ?/(usr/)?bin/(env )?(ba|da)?sh' && echo "$file"
done || true)
# shellcheck disable=SC2086 # names without blanks
shellcheck -x -P SCRIPTDIR -e SC1007,SC2015,SC2016,SC2034,SC2154,SC3013 $scripts
