#!/usr/bin/env bash
# Compares torch and the libraries of requirements.txt with the known vulnerabilities, in an environment of its own that goes afterwards.
# Ends with 0 if none is known, 1 if there are some, and 2 if not all could be looked up.
set -euo pipefail
cd "$(dirname "$0")/.."

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
if ! "$folder/venv/bin/pip" install --quiet --disable-pip-version-check pip-audit >"$folder/log" 2>&1; then
    echo "Nothing was audited: pip-audit cannot be installed ($(tail -n 1 "$folder/log")); try again where its package can be fetched." >&2
    exit 2
fi

# torch has no hash, and pip-audit wants all of them or none.
sed -nE 's/^ *"(torch==[^"]+)".*/\1/p' pyproject.toml >"$folder/requirements.txt"
sed -E '/^ +--hash=/d; s/ *\\$//' requirements.txt >>"$folder/requirements.txt"
for service in pypi osv; do
    "$folder/venv/bin/pip-audit" --requirement "$folder/requirements.txt" --no-deps --disable-pip --progress-spinner off \
        --vulnerability-service "$service" --timeout 15 --format json --output "$folder/found.json" >"$folder/log" 2>&1 || true
    # pip-audit ends with 0, too, where a service knows none of the libraries: what counts is what it has looked up.
    code=0
    "$folder/venv/bin/python" - "$folder/found.json" "$service" <<'PYTHON' || code=$?
import json, pathlib, sys

file = pathlib.Path(sys.argv[1])
libraries = json.loads(file.read_text())["dependencies"] if file.is_file() else []
asked = [library for library in libraries if "skip_reason" not in library]
unknown = [library["name"] for library in libraries if "skip_reason" in library]
found = [(library, hole) for library in asked for hole in library["vulns"]]
if not asked:
    sys.exit(3)
for library, hole in found:
    print(f"{library['name']} {library['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version'}")
print(f"{len(asked)} libraries were looked up at {sys.argv[2]}; {len(found)} vulnerabilities are known.")
if unknown:
    print(f"Not known there, and not audited: {', '.join(unknown)}.")
sys.exit(1 if found else 2 if unknown else 0)
PYTHON
    rm -f "$folder/found.json"
    [ "$code" = 3 ] || exit "$code"
done
echo "Nothing was audited: no service that lists vulnerabilities could be asked; run this where the services of PyPI or OSV can be reached." >&2
exit 2
