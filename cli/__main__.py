# SPDX-License-Identifier: Apache-2.0
"""``python -m backspike.cli`` is ``backspike``."""

import sys

from backspike.cli.main import main

sys.exit(main())
