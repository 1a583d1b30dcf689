# SPDX-License-Identifier: Apache-2.0
r"""``sigbox up --workers N``: several processes answer on one port, one commits.

```
            supervisor      holds the port and the locks, starts the others, starts them again
           /     |    \
     worker   worker   sequencer
        |________|________|
          link: entries and receipts, many in one frame
          hop:  HTTP, for everything that is not hot
```
"""
