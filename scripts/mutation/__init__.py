# SPDX-License-Identifier: GPL-2.0-only
"""Faults that are put into the drivers to test the tests, as scripts/mutate does it.

c_source     tokens of a C file, and which of them are in functions
fault        the kinds of faults, and where a file can have each
tree         a copy of the checkout, in which each fault is built by itself
choice       which test programs reach a line
results      what became of each fault, kept in a file
machine      boots of the test VM, one after the other, until all faults are judged
in_vm        the part that runs in the test VM
"""


class Failure(Exception):
    """This machine or this call can't do it."""
