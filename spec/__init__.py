# SPDX-License-Identifier: Apache-2.0
"""The contract: what hardware, host and golden model all import, and which imports none of them."""
