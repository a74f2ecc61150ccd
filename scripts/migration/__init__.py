# SPDX-License-Identifier: GPL-2.0-only
"""Live migration of a guest with simulated VFs, as scripts/run shows it.

host       the PF and its VFs, seen from sysfs
qemu       a QEMU process and its QMP
guest      what runs in the guest: commands, verified I/O, its kernel log
scenarios  what is migrated, and what must hold afterwards
summary    the table and summary.json
"""


class Failure(Exception):
    """Something did not go as it must; the text is for the person who ran it."""
