"""What no line of the code may do: call a shell, load what runs, or switch TLS or hashes off."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemscribe.environments.profile import DEMUCS, read_recipes
from stemscribe.environments.requirements import pins

ROOT = Path(__file__).parents[2]
RUNNERS = {"run", "Popen", "call", "check_call", "check_output"}
FORBIDDEN = {
    "os": {"system", "popen", "execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe", "spawnl", "spawnv"},
    "subprocess": {"getoutput", "getstatusoutput"},
    "asyncio": {"create_subprocess_shell"},
    "pickle": {"load", "loads"},
    "torch": {"load"},
    "yaml": {"load", "unsafe_load", "full_load"},
    "ssl": {"_create_unverified_context", "CERT_NONE"},
    "onnx": {"load_external_data_for_model"},
    "tempfile": {"mktemp"},
    "shutil": {"unpack_archive"},
}
MODULES = {"pty", "commands", "marshal", "shelve", "dill", "cloudpickle", "joblib", "telnetlib", "xmlrpc"}
FLAGS = {
    "shell": {True},
    "allow_pickle": {True},
    "verify": {False},
    "check_hostname": {False},
    "trust_remote_code": {True},
    "weights_only": {True, False},
}
BUILT_IN = {"eval", "exec", "compile", "__import__"}
EXTRACTING = {"extract", "extractall"}
# What is allowed all the same, by file: each is explained beside the line.
ALLOWED = {
    "src/stemscribe/models/convert/demucs_checkpoint.py": {"pickle.Unpickler"},
    "tests/models/convert/test_demucs_checkpoint.py": {"pickle.loads"},
    "tests/security/test_pickles.py": {"pickle.loads", "os.system", "subprocess.getoutput"},  # to be refused
}
ALL = sorted(
    path
    for folder in ("src", ".ci", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in path.parts
)


def offences(source: str) -> Iterator[str]:
    """What a source does of all that."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node)
        if isinstance(node, ast.Attribute):
            yield from _named(ast.unparse(node))
        if isinstance(node, ast.Call):
            yield from _called(node)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    yield from (module for module in modules if module.partition(".")[0] in MODULES)
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield from _named(f"{node.module}.{alias.name}")


def _named(dotted: str) -> Iterator[str]:
    module, _, name = dotted.rpartition(".")
    if name in FORBIDDEN.get(module, ()) or dotted == "pickle.Unpickler":
        yield dotted


def _called(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    if name in BUILT_IN or name.rpartition(".")[2] in EXTRACTING:
        yield name
    for keyword in node.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg in FLAGS and value in FLAGS[keyword.arg] and isinstance(value, bool):
            yield f"{keyword.arg}={value}"
    if name.rpartition(".")[2] in RUNNERS and name.startswith("subprocess.") and node.args:
        command = node.args[0]
        text = isinstance(command, ast.Constant) and isinstance(command.value, str)
        if text or (isinstance(command, ast.JoinedStr | ast.BinOp) and not isinstance(_left(command), ast.List)):
            yield f"{name} with a string"


def _left(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.BinOp):
        node = node.left
    return node


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_source_does_nothing_of_that(path: Path) -> None:
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
    assert not set(offences(path.read_text(encoding="utf-8"))) - allowed


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.run(['ls'], shell=True)",
        "subprocess.Popen('ls -l')",
        "subprocess.check_output(f'ls {folder}')",
        "subprocess.run('ls ' + folder)",
        "os.system('ls')",
        "from os import popen",
        "import pty",
        "from pickle import loads",
        "import marshal",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
        "exec(compile(text, '', 'exec'))",
        "httpx.Client(verify=False)",
        "context.verify_mode = ssl.CERT_NONE",
        "tarball.extractall(folder)",
        "shutil.unpack_archive(path)",
        "tempfile.mktemp()",
        "class Mine(pickle.Unpickler): ...",
    ],
)
def test_each_of_that_is_found(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize(
    "source",
    ["subprocess.run(['ls', folder])", "subprocess.run([*command, 'x'])", "re.compile('x')", "json.load(file)"],
)
def test_what_is_harmless_is_not(source: str) -> None:
    assert not list(offences(source))


SCRIPTS = sorted([*ROOT.glob("*.sh"), *ROOT.glob("*.ps1"), ROOT / ".ci" / "run"])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_quote_what_they_hand_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(eval|Invoke-Expression|iex|curl|wget|Invoke-WebRequest)\b|\$\*", text)
    if path.suffix != ".ps1":
        code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        quoted = re.sub(r'"(?:\\.|\$\((?:[^()"]|"[^"]*"|\([^()]*\))*\)|[^"\\])*"', "", code)
        quoted = re.sub(r"'[^']*'", "", quoted)
        assert not re.findall(r"^(?!for |root=|[a-z_]+=).*\$[A-Za-z0-9@{]", quoted, re.MULTILINE)


def test_programs_are_not_told_to_trust_anybody() -> None:
    words = ["--trusted" + "-host", "strict" + "-ssl", "--allow-insecure" + "-host", "http.ssl" + "Verify"]
    for path in [*ALL, *SCRIPTS, *ROOT.glob("*.toml"), *(ROOT / "requirements").iterdir()]:
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path


LOCKS = [ROOT / "requirements" / name for name in ("core.txt", "tests.txt", "demucs-pinned.txt", "demucs-modern.txt")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_line_of_a_lock_has_hashes(lock: Path) -> None:
    found = list(pins(lock.read_text(encoding="utf-8")))
    assert len(found) > 10
    assert not [pin.name for pin in found if not pin.hashes]
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for pin in found for each in pin.hashes)


def test_every_recipe_has_one_of_these_locks() -> None:
    named = {ROOT / table["requirements"] for table in read_recipes()[DEMUCS].values()}
    assert named <= set(LOCKS)
    assert set((ROOT / "requirements").glob("*.txt")) == set(LOCKS)


def test_addresses_in_the_package_are_https() -> None:
    """But for those of a licence or a format's name, none is asked for over http."""
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "src").rglob("*.toml")]:
        assert not re.findall(r"\b(?:http|ftp)://[a-z]", path.read_text(encoding="utf-8")), path
