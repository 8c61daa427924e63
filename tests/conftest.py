# SPDX-License-Identifier: Apache-2.0
"""Order of the tests."""


def pytest_collection_modifyitems(items):
    """Files that take minutes first: begun last, one of them would keep a single process busy at the end."""
    items.sort(key=lambda item: [item.path.parent.name != folder for folder in ("sim", "hw")])
