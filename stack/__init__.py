# SPDX-License-Identifier: Apache-2.0
"""stack: composition, configuration, trust root, command line, console."""
