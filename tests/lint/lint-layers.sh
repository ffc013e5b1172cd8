#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Folders include only those that tests/lint/layers allows.
set -eu
cd "$1"
# shellcheck disable=SC2046 # names without blanks
awk -f tests/lint/lint-includes.awk tests/lint/layers \
    $(find agent rpc events storage gluster virt fleet ctl -name '*.[ch]' 2>/dev/null | sort)
