#!/usr/bin/env bash
# Creates .venv and installs the project into it. Called by `make install`; safe to call again.
set -euo pipefail
cd "$(dirname "$0")"

python="${PYTHON:-python3.11}"
command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "Vision Studies needs Python 3.11, and '$python' is $("$python" --version); set PYTHON=/path/to/python3.11." >&2
    exit 1
}

quietly() {  # a log is worth reading only when something fails
    local log
    log="$(mktemp)"
    "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
    rm -f "$log"
}

# What compiling FFCV takes. Without it everything but the FFCV loader works.
ffcv_ready() { pkg-config --exists opencv4 libturbojpeg 2>/dev/null && command -v g++ >/dev/null; }
if ! ffcv_ready && command -v apt-get >/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || { sudo="sudo -n"; $sudo true 2>/dev/null || sudo="none"; }
    if [ "$sudo" != none ]; then
        echo "Installing the system packages of FFCV (pkg-config, OpenCV, libturbojpeg) ..."
        export DEBIAN_FRONTEND=noninteractive
        { quietly $sudo apt-get update -qq && quietly $sudo apt-get install -y -qq g++ pkg-config libopencv-dev libturbojpeg0-dev; } || true
    fi
fi

[ -x .venv/bin/python ] || { echo "Creating .venv ..."; "$python" -m venv .venv; }
echo "Installing PyTorch ..."
quietly .venv/bin/python -m pip install torch==2.13.0   # alone and first: a range would pull gigabytes of CUDA packages
echo "Installing the other libraries ..."
quietly .venv/bin/python -m pip install -r requirements.txt
quietly .venv/bin/python -m pip install --no-deps --editable .

if ! ffcv_ready; then
    echo "FFCV is not installed (its system packages pkg-config, libopencv-dev, libturbojpeg0-dev are missing): everything works but 'loader: ffcv'."
elif quietly .venv/bin/python -m pip install -r requirements-ffcv.txt; then
    echo "FFCV is ready."
else
    echo "FFCV could not be installed, for the reason above: everything works but 'loader: ffcv'." >&2
fi
