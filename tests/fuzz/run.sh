#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh SECONDS [TARGET...]
# Fuzzes each target (a fuzz-TARGET.c of this folder; all of them by default) for SECONDS, with
# clang's libFuzzer and the address and undefined behaviour sanitizers, from corpus/TARGET on.
# What is new is kept in the build folder (HOSTLER_FUZZ_DIR, else build/fuzz) for the next time;
# an input that fails is left there as TARGET-crash-..., and its place in corpus/ is a test for ever.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:?"how many seconds?"}
shift
if [ $# = 0 ]; then
    for source in "$top"/tests/fuzz/fuzz-*.c; do
        target=${source##*/fuzz-}
        set -- "$@" "${target%.c}"
    done
fi
build=${HOSTLER_FUZZ_DIR:-$top/build/fuzz}

[ -x "$top/configure" ] || (cd "$top" && autoreconf -fi)
for target; do
    "$top/tests/sub-build.sh" "$top" "$build" "tests/fuzz/fuzz-$target" CC=clang CFLAGS=-g \
        --enable-fuzzing --enable-sanitizers=address,undefined >/dev/null
    found=$build/found/$target log=$build/$target.log
    mkdir -p "$found"
    dictionary=$top/tests/fuzz/$target.dict
    [ -f "$dictionary" ] && dictionary=-dict=$dictionary || dictionary=-close_fd_mask=0
    if ! "$build/tests/fuzz/fuzz-$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=$build/$target-" "$dictionary" \
        "$found" "$top/tests/fuzz/corpus/$target" >"$log" 2>&1; then
        grep -v '^#' "$log" | tail -50 >&2
        echo "fuzz: $target FAILED: see $log" >&2
        exit 1
    fi
    echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, nothing found"
done
