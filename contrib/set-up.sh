#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What ./quickstart and ./check need on a bare Debian 12: packages, configure script, a build.
# Sourced by both with 'top' set to the source folder; nothing is done twice.

build_packages="build-essential autoconf automake pkg-config
 libwebsockets-dev libwebsockets-evlib-uv libuv1-dev libjansson-dev uuid-dev libinih-dev
 libssl-dev libreadline-dev libnbd-dev libcurl4-openssl-dev
 libglusterfs-dev libvirt-dev libxml2-dev libpng-dev liburing-dev libsystemd-dev libcmocka-dev
 qemu-utils nbdkit e2fsprogs procps"
# What only the tests, the lint and the benchmarks use.
test_packages="glusterfs-server openssh-server iproute2 qemu-block-extra
 qemu-system-x86 libvirt-daemon libvirt-clients libxml2-utils busybox-static
 nfs-common nfs-kernel-server lvm2 thin-provisioning-tools
 python3 python3-pytest python3-pytest-xdist python3-websockets python3-jsonschema python3-libvirt
 strace curl openssl libnbd-bin xfsprogs util-linux bash-completion man-db git
 clang libclang-rt-14-dev clang-format shellcheck codespell valgrind"

say() {
    printf '\n\033[1m== %s\033[0m\n' "$*" >&2
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "set-up: '$*' needs root: run this as root, or install sudo" >&2
        exit 1
    fi
}

# install_packages NAME...: those of them that are missing.
install_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "installing$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of names
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends $missing >&2
}

# Node.js for the foreign clients and peers: Debian's, unless there is one from elsewhere.
install_node() {
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        install_packages nodejs npm
    fi
}

# build FOLDER [CONFIGURE ARGUMENT...]: an out-of-tree build, all warnings above errors kept in sight.
build() {
    folder=$1
    shift
    if [ ! -x "$top/configure" ] || [ -n "$(find "$top/configure.ac" "$top/Makefile.am" "$top"/*/*.mk \
        "$top/agent/base/base.mk" -newer "$top/configure" 2>/dev/null)" ]; then
        say "autoreconf"
        (cd "$top" && autoreconf -fi) >"$top/autoreconf.log" 2>&1 || {
            cat "$top/autoreconf.log" >&2
            return 1
        }
        rm -f "$top/autoreconf.log"
    fi
    mkdir -p "$folder"
    if [ ! -f "$folder/Makefile" ] || [ "$top/configure" -nt "$folder/config.status" ]; then
        say "configure $*"
        (cd "$folder" && "$top/configure" -q "$@") || return 1
    fi
    say "make in ${folder#"$top"/}"
    make -s -C "$folder" -j"$(nproc)" all
}
