#!/bin/sh
# Run a job, or resume it; with --media, prepare it first.
set -eu
root=$(CDPATH='' cd "$(dirname "$(readlink -f "$0" 2>/dev/null || echo "$0")")" && pwd)
export STEMSCRIBE_ROOT="$root"
"$root/bootstrap.sh" --env core --quiet
exec "$root/venv/core/bin/stemscribe" run "$@"
