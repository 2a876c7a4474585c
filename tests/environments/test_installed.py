"""Guards environments/installed.py."""

from __future__ import annotations

from stemscribe.environments.installed import all_versions, digest, site_packages, versions


def test_versions_are_read_without_starting_a_python(tmp_path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("torch-2.5.1+cpu.dist-info", "dora_search-0.1.13.dist-info", "PyYAML-6.0.3.egg-info", "old.egg-info"):
        (site / name).mkdir(parents=True)
    (site / "torch").mkdir()
    assert site_packages(tmp_path) == site
    assert versions(tmp_path, ["torch", "dora-search", "PyYAML", "old", "numpy"]) == {
        "torch": "2.5.1+cpu",
        "dora-search": "0.1.13",
        "PyYAML": "6.0.3",
        "old": "",
        "numpy": "",
    }
    assert all_versions(tmp_path) == {"torch": "2.5.1+cpu", "dora-search": "0.1.13", "pyyaml": "6.0.3"}


def test_nothing_is_in_what_is_not_there(tmp_path):
    assert versions(tmp_path / "none", ["torch"]) == {"torch": ""}


def install(venv, name="numpy-2.0", lines=("numpy/core.py,sha256=abc,10",)):
    folder = site_packages(venv) / f"{name}.dist-info"
    folder.mkdir(parents=True)
    (folder / "RECORD").write_text("\n".join(lines))
    return venv


def test_a_digest_follows_what_is_installed_and_not_where(tmp_path):
    same = digest(install(tmp_path / "a"))
    scripts = (
        "../../../bin/f2py,sha256=xyz,9",
        "numpy-2.0.dist-info/INSTALLER,sha256=pip,4",
        "numpy/a.cpython-311.pyc,,",
    )
    assert digest(install(tmp_path / "b", lines=("numpy/core.py,sha256=abc,10", *scripts))) == same
    assert digest(install(tmp_path / "c", lines=("numpy/core.py,sha256=abd,10",))) != same
    assert digest(install(tmp_path / "d", name="numpy-2.1")) != same
    install(tmp_path / "a", name="click-8.1", lines=("click/core.py,sha256=abc,10",))
    assert digest(tmp_path / "a") != same
    assert digest(tmp_path / "none") == digest(tmp_path / "also none") != same
