# SPDX-License-Identifier: GPL-2.0-only
"""Makes VFs on a host, and prints the address and the netdev of each, a line each:

    python3 -m migration.vfs MODEL COUNT [SETTING=NUMBER]...

Without arguments it removes all VFs.  It is a program so that it can run on either host.
"""

import subprocess
import sys

from .host import Vf, make_vfs, remove_vfs


def main() -> None:
    if len(sys.argv) == 1:
        remove_vfs()
        return
    settings = {name: int(value) for name, _, value in
                (argument.partition("=") for argument in sys.argv[3:])}
    made = make_vfs(sys.argv[1], int(sys.argv[2]), **settings)
    # It may give the netdevs other names
    subprocess.run(["udevadm", "settle", "--timeout", "60"], check=True)
    for number in range(len(made)):
        vf = Vf((made[0].path / "physfn").resolve(), number)
        print(vf.address, vf.netdev)


if __name__ == "__main__":
    main()
