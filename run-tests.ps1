# Run every check that a change must pass; arguments go to pytest.
& "$PSScriptRoot\bootstrap.ps1" --env tests --quiet
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
& "$PSScriptRoot\venv\tests\Scripts\python.exe" "$PSScriptRoot\.ci\checks.py" @args
exit $LASTEXITCODE
