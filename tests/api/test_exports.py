# SPDX-License-Identifier: Apache-2.0
"""What ``import backspike`` gives, and what it does not load."""

import subprocess
import sys

import pytest

import backspike


def test_the_package_loads_the_rest_when_it_is_asked_for():
    code = (
        "import sys, backspike; before = 'backspike.api' in sys.modules; backspike.Model; "
        "print(before, *dir(backspike))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    words = done.stdout.split()
    assert words[0] == "False" and {"Model", "Port", "Simulated"} <= set(words)


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="module 'backspike' has no attribute 'Modell'"):
        _ = backspike.Modell


def test_a_missing_package_is_named_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "backspike.api.torch_module", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"^torch is missing: pip install 'backspike\[reference\]', or pip"):
        backspike.Model("64-8-10").to_torch()
