#!/usr/bin/env bash
# Creates .venv and installs the project into it; finishes what was interrupted, makes anew what cannot be finished. `make` calls
# it before every target that needs .venv: where nothing is to do it returns at once.
set -euo pipefail
cd -P "$(dirname "$0")"

pythons="3.11 3.12 3.13"  # requires-python of pyproject.toml, the first choice first
installed=.venv/.installed
log=.venv/install.log

fail() { echo "$1" >&2; exit 1; }

base_of() {  # version and path of the interpreter behind a command, if it runs and is one of ours
    local found
    found="$("$1" -Ic 'import sys; print("%d.%d" % sys.version_info[:2], sys._base_executable)' 2>/dev/null)" || return 1
    [[ " $pythons " == *" ${found%% *} "* ]] && echo "$found"
}

first_python() {
    local version command
    for version in $pythons 3; do
        while IFS= read -r command; do base_of "$command" && return; done < <(type -ap "python$version")
    done
    return 1
}

# What compiling FFCV takes. Without it everything but the FFCV loader works.
ffcv_ready() { pkg-config --exists opencv4 libturbojpeg 2>/dev/null && command -v g++ >/dev/null; }

state() {  # of a finished environment: what it was made of
    echo "Python $version in $PWD, system packages of FFCV: $(ffcv_ready && echo yes || echo no)"
    sha256sum requirements.txt requirements-ffcv.txt pyproject.toml install.sh
}

disk_is_full() {  # what pip has said tells it, or a disk does on which it could not say so
    case "$output" in *"No space left on device"* | *"Disk quota exceeded"*) return 0 ;; esac
    df -Pk . "${TMPDIR:-/tmp}" 2>/dev/null | awk 'NR > 1 && $4 < 10240 { full = 1 } END { exit !full }'
}
full_disk="The disk is full: .venv takes 4 GB (7 GB with CUDA), and \$TMPDIR and pip's cache half of it again; make room and repeat."

pip_install() {  # output stays in memory, as a full disk would not hold a log
    # Python compiles what is used when it first is; pip would compile all of it, for a minute.
    output="$(.venv/bin/python -m pip install --disable-pip-version-check --no-compile --no-build-isolation "$@" 2>&1)" && return
    printf '%s\n' "$output" 2>/dev/null >"$log" || true  # the sentence comes all the same
    return 1
}

uv_install() {  # in a tenth of pip's time, the same files; where it cannot, pip does it, and tells what is the matter
    local index
    sed -n '/^uv==/,/[^\\]$/p' requirements.txt >.venv/uv.txt 2>/dev/null || return
    pip_install --require-hashes --no-deps --requirement .venv/uv.txt || return
    # uv does not read what pip is told of its index.
    index="$(.venv/bin/python -m pip config list 2>/dev/null | sed -nE "s/^[a-z:]+\\.index-url='(.*)'$/\\1/p" | sed -n '$p')"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    UV_HTTP_RETRIES="${UV_HTTP_RETRIES:-1}" .venv/bin/uv pip install --quiet --no-build-isolation --python .venv/bin/python "$@" >/dev/null 2>&1
}

must_install() {  # the name to use in sentences, and pip's arguments
    local name="$1"
    shift
    pip_install "$@" && return
    ! disk_is_full || fail "$full_disk"
    case "$output" in
        *"DO NOT MATCH THE HASHES"*)
            fail "$name: a downloaded file has not the hash that requirements.txt names; empty pip's cache (.venv/bin/python -m pip cache purge) or change the package index, and repeat (see $log)." ;;
        *"Retrying (Retry"* | *"Max retries exceeded"* | *"timed out"* | *"IncompleteRead"* | *"(from versions: none)"*)
            fail "$name could not be downloaded, as no package index that has it was reached; mend the network, or pip's index and proxy, and repeat (see $log)." ;;
    esac
    last="${output##*$'\n'}"
    fail "$name could not be installed: ${last:-pip was ended} (see $log); mend that and repeat."
}

asked=""
if [ -n "${PYTHON:-}" ]; then
    asked="$(base_of "$PYTHON")" ||
        fail "Vision Studies needs Python 3.11, 3.12 or 3.13, and '$PYTHON' is none that runs; name another: make install PYTHON=/path/to/python3.12"
fi

# An environment stays what it is unless another Python is asked for.
had="$(base_of .venv/bin/python)" || had=""
version="${had%% *}"
anew=""
if [ -z "$had" ] || [[ "${had#* }" == "$PWD/.venv/"* ]]; then
    anew="its Python does not run as one of an environment"
elif [ -n "$asked" ] && [ "$version" != "${asked%% *}" ]; then
    anew="it has Python $version, and ${asked%% *} is asked for"
elif [ ! -f .venv/bin/pip ] || [ ! -d ".venv/lib/python$version/site-packages/pip" ]; then
    anew="it has no pip"
elif ! grep -qF "$PWD/.venv/bin/python" .venv/bin/pip; then
    anew="it was made in another folder"
elif [ "$(cat "$installed" 2>/dev/null)" = "$(state)" ]; then
    exit 0
elif ! rm -f "$installed" || ! .venv/bin/python -I scripts/unfinished.py; then
    anew="its pip is not whole"
fi

if [ -n "$anew" ]; then
    python="${asked:-$(first_python)}" ||
        fail "Vision Studies needs Python 3.11, 3.12 or 3.13, and none was found; install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make install PYTHON=/path/to/python3.12"
    version="${python%% *}"
    python="${python#* }"
    "$python" -Ic 'import ensurepip, venv' 2>/dev/null ||
        fail "$python lacks the modules venv and ensurepip; install them (Debian, Ubuntu: apt install python$version-venv), or name another Python: make install PYTHON=/path/to/python3.12"
    if [ -e .venv ] || [ -L .venv ]; then echo "Making .venv anew: $anew."; fi
    rm -rf .venv
    echo "Creating .venv with Python $version ..."
    output="$("$python" -m venv .venv 2>&1)" || {
        ! disk_is_full || { rm -rf .venv; fail "$full_disk"; }
        rm -rf .venv
        fail "$python could not make .venv: ${output##*$'\n'}; mend that and repeat."
    }
fi

if ! ffcv_ready && command -v apt-get >/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || { sudo="sudo -n"; $sudo true 2>/dev/null || sudo="none"; }
    if [ "$sudo" != none ]; then
        echo "Installing the system packages of FFCV (pkg-config, OpenCV, libturbojpeg) ..."
        export DEBIAN_FRONTEND=noninteractive
        { $sudo apt-get update -qq && $sudo apt-get install -y -qq g++ pkg-config libopencv-dev libturbojpeg0-dev; } >/dev/null 2>&1 || true
    fi
fi

echo "Installing PyTorch ..."
# Alone and first, in the build that pip chooses for this machine, CPU or CUDA: so it has no hash.
must_install PyTorch "$(sed -nE 's/^ *"(torch==[^"]+)".*/\1/p' pyproject.toml)"
echo "Installing the other libraries ..."
locked=(--require-hashes --no-deps --requirement requirements.txt)
uv_install "${locked[@]}" || must_install "A library" "${locked[@]}"
must_install "The project" --no-deps --editable .

if ! ffcv_ready; then
    echo "FFCV is not installed (its system packages pkg-config, libopencv-dev, libturbojpeg0-dev are missing): everything works but 'loader: ffcv'."
elif pip_install --require-hashes --no-deps --requirement requirements-ffcv.txt; then
    echo "FFCV is ready."
else
    ! disk_is_full || fail "$full_disk"
    echo "FFCV could not be installed with Python $version, as $log tells: everything works but 'loader: ffcv'; remove $installed to try again." >&2
fi

# Last and at once: whoever finds it finds all of the above.
{ state >"$installed.new" && mv "$installed.new" "$installed"; } 2>/dev/null || fail "$full_disk"
