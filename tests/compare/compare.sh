#!/usr/bin/env bash
# Times two public packages for private set intersection on this machine. Run by hand: it installs packages and takes minutes.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
packages=(openmined-psi==2.0.6 spu==0.9.5)
fail() { echo "compare.sh: $*" >&2; exit 1; }

venv="" arguments=()
while [ $# -gt 0 ]; do
    case "$1" in
        -h|--help)
            echo "compare.sh [--venv DIR] [OPTIONS of compare.py, below]: installs ${packages[*]} in a virtual environment,"
            printf 'temporary unless --venv names a directory (used again if it is there), and runs compare.py.\n\n'
            exec python3 "$here/compare.py" --help ;;
        --venv)
            [ $# -ge 2 ] || fail "--venv needs a directory."
            venv="$2"; shift 2 ;;
        *) arguments+=("$1"); shift ;;
    esac
done
if [ -z "$venv" ]; then
    temporary="$(mktemp -d)"
    trap 'rm -rf "$temporary"' EXIT
    venv="$temporary/venv"
fi

[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || fail "python3 -m venv could not make an environment in $venv."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" \
    || fail "pip could not install ${packages[*]}; they are known to install for CPython 3.11 on x86_64 Linux."
for module in private_set_intersection.python spu.psi; do
    "$venv/bin/python" -c "import $module" || fail "$module is installed, but its import fails as shown above."
done
"$venv/bin/python" "$here/compare.py" "${arguments[@]}"
