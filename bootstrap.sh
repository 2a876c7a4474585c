#!/bin/sh
# Make the environments that stemscribe works in, or mend them. Once they are there it costs a tenth of a second.
set -eu
root=$(CDPATH='' cd "$(dirname "$(readlink -f "$0" 2>/dev/null || echo "$0")")" && pwd)

# Any Python 3.8 or newer can do the talking; it looks for one that stemscribe can be installed into.
for python in "${STEMSCRIBE_PYTHON:-}" "$root/venv/core/bin/python" \
    python3 python3.13 python3.12 python3.11 python3.10 python; do
    if [ -n "$python" ] && "$python" -S -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
        exec env PYTHONPATH="$root/src" "$python" -m stemscribe.environments "$@"
    fi
done
echo "[ERROR] No Python was found. Install Python 3.10 to 3.13, or let STEMSCRIBE_PYTHON name it." >&2
exit 1
