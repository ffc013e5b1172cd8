#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# sub-build.sh SOURCE FOLDER TARGET [CONFIGURE ARGUMENT...]
# Configures SOURCE in FOLDER below the current folder unless it is, and makes TARGET there.
set -eu
source=$1 folder=$2 target=$3
shift 3
if [ -f "$source/config.status" ]; then
    echo "sub-build: '$source' is configured itself: make distclean there, and build in a folder of its own" >&2
    exit 1
fi
mkdir -p "$folder"
cd "$folder"
if [ ! -f Makefile ] || [ "$source/configure" -nt config.status ]; then
    "$source/configure" -q "$@"
fi
# A make above this one has nothing to say here: its flags name its own jobs.
unset MAKEFLAGS MAKELEVEL MFLAGS
exec make -s -j"$(nproc)" "$target"
