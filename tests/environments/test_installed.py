"""Guards environments/installed.py."""

from __future__ import annotations

from stemscribe.environments.installed import all_versions, site_packages, versions


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
