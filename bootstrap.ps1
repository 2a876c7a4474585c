# Make the environments that stemscribe works in, or mend them. Once they are there it costs a tenth of a second.
$candidates = @()
if ($env:STEMSCRIBE_PYTHON) { $candidates += , @($env:STEMSCRIBE_PYTHON) }
$candidates += , @("py", "-3")
$candidates += , @("python3")
$candidates += , @("python")

# Any Python 3.8 or newer can do the talking; it looks for one that stemscribe can be installed into.
foreach ($candidate in $candidates) {
    $program = $candidate[0]
    $options = @($candidate | Select-Object -Skip 1)
    if (-not (Get-Command $program -ErrorAction SilentlyContinue)) { continue }
    & $program @options -S -c "import sys; sys.exit(sys.version_info < (3, 8))" *> $null
    if ($LASTEXITCODE -ne 0) { continue }
    $before = $env:PYTHONPATH
    $env:PYTHONPATH = "$PSScriptRoot\src"
    try { & $program @options -m stemscribe.environments @args } finally { $env:PYTHONPATH = $before }
    exit $LASTEXITCODE
}
[Console]::Error.WriteLine("[ERROR] No Python was found. Install Python 3.10 to 3.13, or let STEMSCRIBE_PYTHON name it.")
exit 1
