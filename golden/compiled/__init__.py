# SPDX-License-Identifier: Apache-2.0
"""The passes of the golden model as compiled loops, which give the bits of the numpy forms beside this folder."""
