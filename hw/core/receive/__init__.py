# SPDX-License-Identifier: Apache-2.0
"""What a core does with packets that arrive."""
