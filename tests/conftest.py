# SPDX-License-Identifier: Apache-2.0
"""Order of the tests."""

_FIRST = ("sim", "hw")


def pytest_collection_modifyitems(items):
    """Files that take minutes first: begun last, one of them would keep a single process busy at the end."""
    items.sort(key=lambda item: _FIRST.index(item.path.parent.name) if item.path.parent.name in _FIRST else len(_FIRST))
