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

# Installs Debian packages where root or sudo allows it; otherwise false.
apt_install() {
    local as_root=
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root="sudo -n"
    fi
    echo "setup: installing $*"
    local install="env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y -o Dpkg::Options::=--force-confold"
    $as_root $install "$@" >/dev/null 2>&1 ||
        { $as_root apt-get update -qq >/dev/null 2>&1 && $as_root $install "$@" >/dev/null 2>&1; }
}

# zbar is the first of two label readers. Without it zxing-cpp reads the labels, and each run says which one did.
install_zbar() {
    ldconfig -p 2>/dev/null | grep -q 'libzbar\.so\.0' && return
    apt_install libzbar0 || echo "setup: libzbar0 cannot be installed; labels are read by zxing-cpp"
}

# The tests start a PostgreSQL server of their own, so the package must neither make nor start one. Without the right
# to install it, the package is unpacked beside the virtual environment; without that, the tests say what they skip.
install_postgresql() {
    local conf=/etc/postgresql-common/createcluster.conf as_root=
    { command -v postgres || ls /usr/lib/postgresql/*/bin/postgres "$venv"/postgresql/usr/lib/postgresql/*/bin/postgres; } >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    if [ ! -e $conf ] && command -v apt-get >/dev/null 2>&1; then
        { $as_root mkdir -p "${conf%/*}" && echo 'create_main_cluster = false' | $as_root tee $conf; } >/dev/null 2>&1 || true
    fi
    apt_install postgresql || unpack_postgresql ||
        echo "setup: PostgreSQL cannot be installed; tests of the ledger in PostgreSQL are skipped"
}

unpack_postgresql() {
    local package folder=$venv/postgresql
    package=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: \(postgresql-[0-9][0-9]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || return 1
    echo "setup: unpacking $package into $folder"
    mkdir -p "$folder" &&
        (cd "$folder" && apt-get download -qq "$package" "${package/-/-client-}" libpq5 >/dev/null 2>&1 &&
            for file in *.deb; do dpkg-deb -x "$file" . || exit 1; done; rm -f ./*.deb) &&
        LD_LIBRARY_PATH=$(echo "$folder"/usr/lib/*-linux-*) "$folder/usr/lib/postgresql/${package#*-}/bin/initdb" --version >/dev/null 2>&1 &&
        "$folder/usr/lib/postgresql/${package#*-}/bin/postgres" --version >/dev/null 2>&1 ||
        { rm -rf "$folder"; return 1; }
}

[ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || make_venv
if [ -n "$extra" ]; then install_postgresql; else install_zbar; fi
echo "setup: installing lorafab$extra into $venv"
PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --quiet --editable ".$extra"
