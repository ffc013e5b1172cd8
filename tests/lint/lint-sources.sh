#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What no C source may hold: calls without bounds, shells, line comments, a missing licence line.
set -eu
cd "$1"
sources=$(find agent rpc events storage gluster virt fleet ctl bench tests -name '*.[ch]' 2>/dev/null |
    grep -v /node_modules/ | sort)
bad=0
complain() {
    if [ -n "$2" ]; then
        printf '%s:\n%s\n' "$1" "$2" >&2
        bad=1
    fi
}
# shellcheck disable=SC2086 # names without blanks
{
    complain "forbidden call" "$(grep -nE \
        '(^|[^A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|gets|system|popen|strtok|alloca) ?\(' $sources)"
    complain "comment to the end of the line" "$(grep -nE '(^|[;{}[:blank:]])//([^"]*("[^"]*")?)*$' $sources |
        grep -vE '"[^"]*//')"
    complain "tab or blank at the end of the line" "$(grep -nE "$(printf '\t')|[[:blank:]]\$" $sources)"
    complain "TODO without an issue" "$(grep -nE 'TODO([^(]|$)|FIXME' $sources)"
    complain "<config.h> must be the first include" "$(for source in $sources; do
        case $source in bench/* | tests/rig/*) ;; *.c) grep -m1 '^#include' "$source" | grep -qx '#include <config.h>' || echo "$source" ;; esac
    done)"
    complain "no SPDX line at the top" "$(for source in $sources; do
        head -1 "$source" | grep -qxF '/* SPDX-License-Identifier: Apache-2.0 */' || echo "$source"
    done)"
    complain "more than 600 lines: split by noun" "$(wc -l $sources |
        awk '$2 != "total" && $2 !~ /^tests\// && $1 > 600')" # a test may have many cases
}
exit $bad
