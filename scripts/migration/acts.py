# SPDX-License-Identifier: GPL-2.0-only
"""What users of libvirt do to a guest with a VF, and what may befall it meanwhile.

Each act leaves a guest that runs, on one of the two hosts, and fills in the result.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from shlex import quote
from typing import Callable, Iterator

from . import Failure, patience
from .carry import MEDIA_MB, VFMIGCTL
from .domain import HOME, NAME, Domain, job_info, moved_bytes, source_address
from .hosts import LINK, Host
from .pair import Pair
from .result import Result

# Of one call of virsh that moves a guest
TIMEOUT = patience(300)
# Until a migration whose destination or network is gone has ended
LOSS_TIMEOUT = patience(90)
# Seconds that the network is cut for: more than the keepalives of scripts/libvirt-host take
CUT = round(patience(25))
# Milliseconds that a switchover is made to last, so that the network can be cut in it
SWITCHOVER = 6000

# In MiB/s: a migration that has a half-way.  It lasts more than a minute, so that it is not over
# when a slow processor has come to what is to happen in it.
SLOW = "--bandwidth 1"
# In MiB/s.  Of a guest that is paused QEMU measures next to none (Documentation/qemu.rst).
BANDWIDTH = "--available-switchover-bandwidth 1000"
HALF_WAY = 4 << 20
# Seconds to watch traffic for, and the bytes that count as none: somebody may ask for an address
TRAFFIC_TIME, SILENCE = 5, 8 << 10

Act = Callable[[Pair, Result], None]


def command(pair: Pair, options: str, vf: str = "") -> str:
    """Of virsh, on the host where the guest is.  A definition that moves has the destination's VF
    too."""
    xml = pair.xml_file(vf)
    if "--persistent" in options:
        options += f" --persistent-xml {xml}"
    return f"virsh -q migrate {options} --xml {xml} {NAME} {pair.uri()} 2>&1"


def note_job(source: Domain, destination: Domain, result: Result) -> None:
    """Fills in what libvirt knows of a migration that has completed.  The source knows most,
    unless it has forgotten the domain."""
    figures = {**job_info(destination), **job_info(source)}
    result.device_bytes = int(figures.get("vfio_data_transferred", 0))
    result.downtime_ms = int(figures.get("downtime", 0))
    result.total_ms = int(figures.get("time_elapsed", 0))


def move(pair: Pair, result: Result, options: str, state: str = "running") -> None:
    source = pair.here
    source.host.output(command(pair, options), TIMEOUT)
    pair.there.wait_state(state)
    note_job(source, pair.there, result)
    pair.arrive()
    result.status = "completed"


def migrate(options: str = "--live") -> Act:
    """To the other host."""
    return lambda pair, result: move(pair, result, options)


def with_traffic(pair: Pair, result: Result) -> None:
    """To the other host, with a NIC that has traffic.  All of that must take the way to the host
    where the guest is."""
    old = pair.at
    move(pair, result, "--live")
    before = [pair.through(number) for number in range(2)]
    time.sleep(TRAFFIC_TIME)
    grown = [pair.through(number) - start for number, start in enumerate(before)]
    if grown[old] > SILENCE or grown[1 - old] <= SILENCE:
        raise Failure(f"the traffic takes the wrong way: {grown[old]} bytes to where the guest "
                      f"was, {grown[1 - old]} to where it is")


def is_gone(domain: Domain) -> None:
    """The host must not know the domain any more, not even as one that is defined."""
    if state := domain.state():
        raise Failure(f"{domain.host} still has the domain, {state}")


def migrate_for_good(pair: Pair, result: Result) -> None:
    """The definition moves too."""
    pair.there.discard()
    source = pair.here
    move(pair, result, "--live --p2p --persistent --undefinesource")
    is_gone(source)
    if "Persistent: yes" not in " ".join(pair.here.virsh(f"dominfo {NAME}").split()):
        raise Failure(f"the domain is not persistent on {pair.here.host}")
    if source_address(pair.vf(pair.at)) not in pair.here.virsh(f"dumpxml --inactive {NAME}"):
        raise Failure(f"the definition on {pair.here.host} has another VF")


def suspended(pair: Pair, result: Result) -> None:
    """The guest is suspended before it moves, and stays so until it is resumed there."""
    pair.here.virsh(f"suspend {NAME}")
    move(pair, result, f"--live {BANDWIDTH}", "paused")
    pair.here.virsh(f"resume {NAME}")


def wait_reachable(side: Host) -> None:
    deadline = time.monotonic() + CUT + LOSS_TIMEOUT
    while side.run_quietly("true"):
        if time.monotonic() > deadline:
            raise Failure(f"{side} is out of reach")
        time.sleep(1)


def expect_staying(pair: Pair, result: Result, output: str, status: int) -> None:
    """The migration must have failed.  The guest runs on, and the other host is as before, once
    it can be reached."""
    if not status:
        raise Failure("the migration completed")
    if status == 124:
        raise Failure(f"the migration did not end: {output.strip()[-300:]}")
    result.status, result.reason = "failed", " ".join(output.split())[-300:]
    pair.here.wait_state("running", LOSS_TIMEOUT)
    wait_reachable(pair.there.host)
    deadline = time.monotonic() + LOSS_TIMEOUT
    while (state := pair.there.state()) not in ("", "shut off"):
        if time.monotonic() > deadline:
            raise Failure(f"the domain is still {state} on {pair.there.host}")
        time.sleep(0.5)


@contextmanager
def under_way(pair: Pair, options: str) -> Iterator[Future]:
    """A migration that has begun and read some of the device's data; the answer of virsh."""
    line = command(pair, options)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(pair.here.host.run, line, TIMEOUT)
        deadline = time.monotonic() + TIMEOUT
        while moved_bytes(pair.here) < HALF_WAY:
            if future.done():
                raise Failure(f"the migration was over before its half: {future.result()[1]}")
            if time.monotonic() > deadline:
                raise Failure("the migration does not get to its half")
            time.sleep(0.2)
        yield future


def aborted(pair: Pair, result: Result) -> None:
    """domjobabort half-way."""
    with under_way(pair, f"--live {SLOW}") as future:
        pair.here.virsh(f"domjobabort {NAME}")
        status, output = future.result()
    expect_staying(pair, result, output, status)


def hint(domain: Domain) -> None:
    """What virsh migrate has an option for and virsh save has not."""
    domain.virsh(f"qemu-monitor-command {NAME} " + quote(
        '{"execute": "migrate-set-parameters", "arguments": '
        '{"avail-switchover-bandwidth": 1000000000}}'))


def back_up(pair: Pair, result: Result) -> None:
    """The guest runs in another QEMU of the same host."""
    pair.here.connect()
    pair.guest.move(pair.here)
    pair.here.virsh(f"resume {NAME}")
    pair.here.wait_state("running")
    result.status = "completed"


def managed_save(pair: Pair, result: Result) -> None:
    """managedsave and start."""
    hint(pair.here)
    pair.here.virsh(f"managedsave {NAME}", TIMEOUT)
    pair.here.virsh(f"start --paused {NAME}", TIMEOUT)
    back_up(pair, result)


def save_elsewhere(pair: Pair, result: Result) -> None:
    """save, and restore on another VF of the host."""
    file = f"{HOME}/saved"
    xml = pair.xml_file(pair.spare_vf(pair.at))
    hint(pair.here)
    pair.here.virsh(f"save {NAME} {file}", TIMEOUT)
    pair.here.virsh(f"restore --paused --xml {xml} {file}", TIMEOUT)
    pair.use_spare()
    back_up(pair, result)
    pair.here.host.output(f"rm {file}")


def snapshot(pair: Pair, result: Result) -> None:
    """A snapshot with memory, and back to it.  The guest is paused for it without --live.  Going
    back puts a new overlay on each disk, which is on this host only: this guest can't move."""
    file = f"{HOME}/snapshot"
    hint(pair.here)
    pair.here.virsh(f"snapshot-create-as {NAME} one --memspec file={file},snapshot=external",
                    TIMEOUT)
    pair.here.virsh(f"snapshot-revert {NAME} one --paused", TIMEOUT)
    back_up(pair, result)
    pair.here.virsh(f"snapshot-delete {NAME} one --metadata")
    pair.here.host.output(f"rm {file}")
    pair.booted = False


def refused(pair: Pair, result: Result, vf: str, options: str = "--live") -> None:
    status, output = pair.here.host.run(command(pair, options, vf), TIMEOUT)
    expect_staying(pair, result, output, status)


def other_size(pair: Pair, result: Result) -> None:
    """The destination's disk has another size.  Its kernel log has the reason."""
    vf, there = pair.spare_vf(1 - pair.at), pair.there.host
    file = f"/sys/kernel/debug/vfmig/{vf}/media_mb"
    there.output(f"echo {MEDIA_MB + 1} >{file}")
    try:
        refused(pair, result, vf)
        said = there.output(f"dmesg | grep '{vf}.*refused' | tail -n 1; true").strip()
        if not said:
            raise Failure(f"the kernel of {there} does not say why")
        result.reason += f"; kernel of {there}: {said}"
    finally:
        there.output(f"echo {MEDIA_MB} >{file}")


def bind(side: Host, vf: str, driver: str) -> None:
    path = f"/sys/bus/pci/devices/{vf}"
    side.output(f"modprobe -a {driver.replace('-', '_')} && echo {driver} >{path}/driver_override "
                f"&& echo {vf} >{path}/driver/unbind && echo {vf} >/sys/bus/pci/drivers_probe && "
                f"readlink {path}/driver | grep -q /{driver}$")


def stock_driver(pair: Pair, result: Result) -> None:
    """The destination's VF is bound to stock vfio-pci, which can't migrate it."""
    vf, there = pair.spare_vf(1 - pair.at), pair.there.host
    bind(there, vf, "vfio-pci")
    try:
        refused(pair, result, vf)
    finally:
        bind(there, vf, "vfmig_vfio_pci")


def daemon_killed(pair: Pair, result: Result) -> None:
    """The destination's libvirtd is killed in the middle, and started again."""
    with under_way(pair, f"--live --p2p {SLOW}") as future:
        pair.there.host.output("kill -9 $(pidof libvirtd)")
        status, output = future.result()
    pair.there.host.output("libvirtd --listen --daemon")
    expect_staying(pair, result, output, status)


def cut(side: Host) -> None:
    """Cuts the network for a while.  The host at the other end sees nothing but silence."""
    side.output(f"(sleep 0.2; ip link set {LINK} down; sleep {CUT}; ip link set {LINK} up) "
                "</dev/null >/dev/null 2>&1 & disown")


def network_cut(pair: Pair, result: Result) -> None:
    """The network is cut in the middle."""
    with under_way(pair, f"--live --p2p {SLOW}") as future:
        cut(pair.there.host)
        status, output = future.result()
    expect_staying(pair, result, output, status)


def cut_at_switchover(pair: Pair, result: Result) -> None:
    """The network is cut when the guest has stopped already.  A fault of the VF makes that
    moment last.  libvirt does not know of it yet, so the list of faults tells when it has come."""
    vf, side = pair.vf(pair.at), pair.here.host
    side.output(f"{VFMIGCTL} fault add {vf} arc PRE_COPY_P2P:STOP_COPY "
                f"delay={SWITCHOVER} once")
    happened = f"grep -q '^[0-9]* 1 ' /sys/kernel/debug/vfmig_vfio_pci/{vf}/faults"
    line = command(pair, "--live --p2p")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(side.run, line, TIMEOUT)
        while side.run_quietly(happened):
            if future.done():
                raise Failure(f"the guest never stopped: {future.result()[1]}")
            time.sleep(0.1)
        cut(pair.there.host)
        status, output = future.result()
    side.output(f"{VFMIGCTL} fault clear {vf}")
    expect_staying(pair, result, output, status)
