# SPDX-License-Identifier: Apache-2.0
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def one_thread():
    """The matrices here are small: threads only wait for each other, most of all on a busy machine."""
    with threadpool_limits(1):
        yield
