#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files and functions that the documents name in backquotes exist.
set -eu
cd "$1"
bad=0
for document in README.md CONTRIBUTING.md doc/*.md; do
    [ -f "$document" ] || continue
    for name in $(grep -oE '`(agent|rpc|events|storage|ctl|tests|bench|contrib|doc)/[A-Za-z0-9_./-]+`' "$document" |
        tr -d '`' | grep -vE '[-_/][A-Z]+\.(c|h|py)$' | sort -u); do
        [ -e "$name" ] || { echo "$document: there is no '$name'" >&2; bad=1; }
    done
    for name in $(grep -oE '`[a-z0-9]+(_[a-z0-9]+)+\(\)`' "$document" | tr -d '`()' | sort -u); do
        grep -rqw --include='*.[ch]' "$name" agent rpc events storage ctl tests ||
            { echo "$document: there is no function '$name'" >&2; bad=1; }
    done
done
exit $bad
