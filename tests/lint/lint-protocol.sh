#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# doc/protocol.md is what the verb tables say, and the manual knows every flag of the daemon.
set -eu
cd "$1"
hostlerd=${HOSTLER_BUILD:-.}/hostlerd
[ -x "$hostlerd" ] || { echo "lint-protocol: hostlerd is not built: nothing to compare with"; exit 0; }
"$hostlerd" --print-openrpc | doc/protocol-from-openrpc.py | diff -u doc/protocol.md - ||
    { echo "doc/protocol.md: make it anew: hostlerd --print-openrpc | doc/protocol-from-openrpc.py" >&2; exit 1; }
bad=0
for flag in $("$hostlerd" --help | grep -oE '^  --[a-z-]+' | tr -d ' -' ); do
    tr -d '\\-' <doc/hostlerd.8 | grep -q "$flag" || { echo "doc/hostlerd.8: no --$flag" >&2; bad=1; }
done
exit $bad
