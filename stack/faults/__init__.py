# SPDX-License-Identifier: Apache-2.0
"""A stack for tests that misbehaves on request: ``/_ctl/faults``.

What is wrong is wrong in one place, and everything around it stays right: the answer is made by the role as always, then one thing
in it is changed, and what lies above that thing is signed again with the real key. So a client that takes it lacks one check, and
:mod:`stack.faults.table` names that check.

Nothing of this is imported before the first fault is asked for, and nothing of it exists without ``--control``.
"""
