# SPDX-License-Identifier: Apache-2.0
"""The wheel: it holds the parts of the package and nothing else, and works where only it is installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("api", "cli", "fpga", "golden", "host", "hw", "sim", "spec")
DATA = ["fpga/built.json", "fpga/cells/dp16kd.v", "fpga/cells/mult18x18d.v"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, so that nothing is left among them."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    names = [
        "pyproject.toml",
        "README.md",
        "LICENSE",
        *DATA,
        "backspike/__init__.py",
        *(path.relative_to(ROOT) for part in PARTS for path in (ROOT / part).rglob("*.py")),
    ]
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("setuptools cannot be had: no wheel was built")
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_the_wheel_holds_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"backspike/{path.relative_to(ROOT)}" for part in PARTS for path in (ROOT / part).rglob("*.py")}
    files = modules | {"backspike/__init__.py"} | {f"backspike/{name}" for name in DATA}
    assert {name for name in names if ".dist-info/" not in name} == files
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_names_its_command_and_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("/METADATA")).rsplit("/", 1)[0]
        metadata = archive.read(f"{folder}/METADATA").decode()
        commands = archive.read(f"{folder}/entry_points.txt").decode()
    assert "backspike = backspike.cli.main:main" in commands
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    for extra in ("sim", "fpga", "fast", "nir", "gpu", "test", "docs", "reference"):
        assert f"Provides-Extra: {extra}" in metadata
    needs = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    assert all(">=" in line and "<" in line for line in needs), needs


@pytest.mark.slow
def test_three_lines_train_a_network_in_an_empty_environment(wheel, tmp_path):
    """From ``pip install`` to the first trained network: under a minute of a processor."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python, begin = folder / "bin" / "python", os.times()
    lines = (
        (ROOT / "README.md").read_text().partition("## In Python")[2].partition("```python\n")[2].partition("```")[0]
    )
    assert len(lines.split("\n\n")) == 2 and lines.count("\n") == 4, "an import, an empty line, two more"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel], check=True)
    installed = os.times()
    told = subprocess.run([python, "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    end = os.times()
    seconds = [sum(b[2:4]) - sum(a[2:4]) for a, b in ((begin, installed), (installed, end))]
    print(f"installation {seconds[0]:.1f} s, training {seconds[1]:.1f} s of a processor")
    assert float(told.splitlines()[-1]) > 0.97
    assert sum(seconds) < 60


def test_the_installed_package_works(wheel, tmp_path):
    """In an environment of its own, which sees the dependencies of this one but not this checkout."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True)
    others = [path for path in sys.path if path.endswith("site-packages")]
    command = [folder / "bin" / "backspike", "--help"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(others)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("usage: backspike")
    imports = (
        "import sys; sys.path.extend(sys.argv[1:]); import backspike.hw.chip, backspike.golden.trainer, "
        "backspike.cli.synth, backspike.host.driver.driver, backspike.sim.run.scenario; from backspike import Model; "
        "print(backspike.sim.run.scenario.__file__)"
    )
    place = subprocess.run([python, "-c", imports, *others], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(place.stdout.strip()).is_relative_to(folder)
