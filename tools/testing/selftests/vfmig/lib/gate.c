// SPDX-License-Identifier: GPL-2.0-only
/* See gate.h */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *gate_init(struct gate *gate, size_t size, size_t open)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	gate->fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (gate->fd < 0)
		return "no userfaultfd";
	must(!ioctl(gate->fd, UFFDIO_API, &api));
	gate->va = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(gate->va != MAP_FAILED);
	/* No huge page that reaches over the edge */
	must(!madvise(gate->va, size, MADV_NOHUGEPAGE));
	gate->size = size;
	gate->open = open;
	memset(gate->va, 0, open);
	reg.range.start = (uintptr_t)gate->va + open;
	reg.range.len = size - open;
	must(!ioctl(gate->fd, UFFDIO_REGISTER, &reg));
	return NULL;
}

bool gate_wait(struct gate *gate)
{
	struct pollfd pfd = { .fd = gate->fd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pfd, 1, WAIT_MS) != 1)
		return false;
	return read(gate->fd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT;
}

void gate_open(struct gate *gate)
{
	struct uffdio_range range = {
		.start = (uintptr_t)gate->va + gate->open,
		.len = gate->size - gate->open,
	};

	must(!ioctl(gate->fd, UFFDIO_UNREGISTER, &range));
}

void gate_exit(struct gate *gate)
{
	close(gate->fd);
	munmap(gate->va, gate->size);
}
