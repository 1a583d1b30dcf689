# SPDX-License-Identifier: Apache-2.0
"""What the operator of a stack looks at: its state, and what has to be done."""
