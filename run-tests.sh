#!/bin/sh
# Run every check that a change must pass; arguments go to pytest.
set -eu
root=$(CDPATH='' cd "$(dirname "$(readlink -f "$0" 2>/dev/null || echo "$0")")" && pwd)
"$root/bootstrap.sh" --env tests --quiet
exec "$root/venv/tests/bin/python" "$root/.ci/checks.py" "$@"
