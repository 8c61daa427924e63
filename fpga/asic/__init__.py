# SPDX-License-Identifier: Apache-2.0
"""Units of a chip in standard cells: area, delay and switching energy with a liberty file of the user's."""
