# SPDX-License-Identifier: Apache-2.0
"""Order of the tests, and their seed."""

import os


def pytest_report_header():
    return f"seed of random stimuli: {os.environ.get('BACKSPIKE_SEED', '1')} (BACKSPIKE_SEED sets it)"


def pytest_collection_modifyitems(items):
    """Files that take minutes first: begun last, one of them would keep a single process busy at the end."""
    items.sort(key=lambda item: [item.path.parent.name != folder for folder in ("sim", "hw")])
