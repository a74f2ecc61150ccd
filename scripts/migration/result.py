# SPDX-License-Identifier: GPL-2.0-only
"""One migration's figures, and the targets that they are held against."""

from dataclasses import dataclass, field
from typing import Optional


@dataclass
class Behaviour:
    """What a VMM made of a device that misbehaved: once it migrated with the fault and, if
    the guest stayed, again without.  reason is what query-migrate said, words what the VMM
    wrote on standard error."""
    when: str
    side: str
    fault: str
    # What it can be at best
    best: str
    outcome: str
    happened: int = 0
    reason: str = ""
    words: list[str] = field(default_factory=list)
    again: str = ""
    # What the migration with the fault left behind
    left: list[str] = field(default_factory=list)


@dataclass
class Result:
    """One migration; the fields are those of summary.json."""
    scenario: str
    expected: str = "completed"
    status: str = "not run"
    mode: str = ""
    guest_io: str = ""
    qemu_source: str = ""
    qemu_destination: str = ""
    machine: str = ""
    iommu: str = ""
    dirty_tracking: str = ""
    # That the guest moved between
    hosts: int = 1
    disks: int = 0
    nics: int = 0
    media_mb: int = 0
    queue_pairs: int = 0
    device_bytes: int = 0
    precopy_bytes: int = 0
    stopcopy_bytes: int = 0
    iterations: int = 0
    downtime_ms: int = 0
    device_downtime_ms: float = 0
    total_ms: int = 0
    dma_dirty_pages: int = 0
    io_bytes_verified: int = 0
    io_verify_errors: int = 0
    memory_bytes_verified: int = 0
    memory_verify_errors: int = 0
    net_bytes_verified: int = 0
    net_errors: int = 0
    net_messages: list[str] = field(default_factory=list)
    net_gap_ms: float = 0
    net_announcements: int = 0
    guest_errors: int = 0
    guest_messages: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    # The names of the QEMUs, which their logs have
    qemus: list[str] = field(default_factory=list)
    behaviour: Optional[Behaviour] = None
    # What was said of a failure that had to be
    reason: str = ""
    error: str = ""

    @property
    def outcome(self) -> str:
        """The status, and whether it had to be that."""
        if self.behaviour:
            return self.behaviour.outcome
        if self.status == self.expected != "completed":
            return f"{self.status}, as it must"
        return self.status

    def good(self) -> bool:
        if self.behaviour:
            return (self.behaviour.outcome == self.behaviour.best and not self.behaviour.left and
                    self.behaviour.again in ("", "completed"))
        verified = [self.io_bytes_verified, self.memory_bytes_verified] if self.disks else []
        verified += [self.net_bytes_verified] if self.nics else []
        return (self.status == self.expected and not self.error and bool(verified)
                and all(verified) and not self.errors())

    def errors(self) -> int:
        return (self.io_verify_errors + self.memory_verify_errors + self.net_errors
                + self.guest_errors)


@dataclass
class Target:
    """A figure that was promised: the share of one downtime in another."""
    name: str
    limit: float
    measured: float

    @property
    def met(self) -> bool:
        return self.measured <= self.limit
