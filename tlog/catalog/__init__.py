# SPDX-License-Identifier: Apache-2.0
"""The catalogue: one search over all logs of a stack. A follower of the logs, made anew from them whenever it is lost."""
