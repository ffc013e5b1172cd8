#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The layout is .clang-format's.
set -eu
cd "$1"
# shellcheck disable=SC2046 # names without blanks
clang-format --dry-run -Werror \
    $(find agent rpc events storage gluster virt fleet ctl bench tests -name '*.[ch]' 2>/dev/null |
        grep -v /node_modules/ | sort)
