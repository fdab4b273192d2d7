#!/usr/bin/env bash
# The Debian packages that the tests need: installed when root, else named.
set -euo pipefail

declare -A package_of=([sshd]=openssh-server [ssh]=openssh-client [gcc]=gcc [ip]=iproute2 [sudo]=sudo [tmux]=tmux
    [prometheus]=prometheus [promtool]=prometheus [openssl]=openssl [chromium-headless-shell]=chromium-headless-shell)
missing=()
for tool in "${!package_of[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || missing+=("${package_of[$tool]}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
# gcc without the C library's headers compiles nothing.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing for the tests: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
    echo "the tests need these Debian packages; install them first: ${missing[*]}" >&2
    exit 1
fi
