#!/usr/bin/env bash
# The Debian packages that the virtual node needs: installed when root, else named.
set -euo pipefail

declare -A package_of=(
    [qemu-system-x86_64]=qemu-system-x86 [qemu-img]=qemu-utils [mmdebstrap]=mmdebstrap
    [mkfs.ext4]=e2fsprogs [ssh]=openssh-client [setpriv]=util-linux
)
missing=()
for tool in "${!package_of[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || missing+=("${package_of[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the virtual node: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "the virtual node needs these Debian packages; install them first: ${missing[*]}" >&2
    exit 1
fi
