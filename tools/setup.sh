#!/usr/bin/env bash
# Sets up the virtual environment: tools/setup.sh VENV [EXTRA]. Called by make; says in one sentence what is missing.
set -eu
venv=$1
extra=${2:+[$2]}

find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "setup: found no Python 3.11 or newer (python3 is $(python3 --version 2>&1 || true)); install one, for example 'apt-get install python3.11 python3.11-venv', and call make again" >&2
    exit 1
}

make_venv() {
    local python
    python=$(find_python)
    echo "setup: making $venv with $("$python" --version)"
    if ! "$python" -m venv "$venv" 2>/dev/null; then
        rm -rf "$venv"
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get install -qq -y python3-venv >/dev/null 2>&1 || { apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null; }
            "$python" -m venv "$venv"
        else
            echo "setup: $python has no working venv module; install it (Debian: apt-get install python3-venv) and call make again" >&2
            exit 1
        fi
    fi
}

# zbar is the first of two label readers. Without it zxing-cpp reads the labels, and each run says which one did.
install_zbar() {
    local as_root=
    ldconfig -p 2>/dev/null | grep -q 'libzbar\.so\.0' && return
    command -v apt-get >/dev/null 2>&1 || { echo "setup: no libzbar0; labels are read by zxing-cpp"; return; }
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || { echo "setup: no libzbar0 and no right to install it; labels are read by zxing-cpp"; return; }
        as_root="sudo -n"
    fi
    echo "setup: installing libzbar0"
    $as_root apt-get install -qq -y libzbar0 >/dev/null 2>&1 ||
        { $as_root apt-get update -qq >/dev/null 2>&1 && $as_root apt-get install -qq -y libzbar0 >/dev/null 2>&1; } ||
        echo "setup: libzbar0 cannot be installed; labels are read by zxing-cpp"
}

[ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || make_venv
[ -n "$extra" ] || install_zbar
echo "setup: installing lorafab$extra into $venv"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --quiet --editable ".$extra"
