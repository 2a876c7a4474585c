#!/bin/sh
# Prepare a job; prints its id.
set -eu
root=$(CDPATH='' cd "$(dirname "$(readlink -f "$0" 2>/dev/null || echo "$0")")" && pwd)
export STEMSCRIBE_ROOT="$root"
"$root/bootstrap.sh" --env core --quiet
exec "$root/venv/core/bin/stemscribe" prepare "$@"
