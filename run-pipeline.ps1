# Run a job, or resume it; with --media, prepare it first.
& "$PSScriptRoot\bootstrap.ps1" --env core --quiet
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
$before = $env:STEMSCRIBE_ROOT
$env:STEMSCRIBE_ROOT = $PSScriptRoot
try { & "$PSScriptRoot\venv\core\Scripts\python.exe" -I -m stemscribe.cli.entry run @args } finally { $env:STEMSCRIBE_ROOT = $before }
exit $LASTEXITCODE
