// SPDX-License-Identifier: GPL-2.0-only
/* All that can be done with a fd of ioctl_stress besides an ioctl */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ioctl.h"

/* What may come of a call by the kind of the fd; 0 ends a list */
struct file_errnos {
	int read[8];
	int write[8];
	int seek[2];
	int map[6];
};

/*
 * A data fd has no position, so that pread() and pwrite() are ESPIPE.  A container, a group and
 * an iommufd can't be read.  An iommufd without an object to map is ENXIO.  VFIO's regions end
 * somewhere, which is EINVAL, and a device that has its memory disabled is EIO.
 */
static const struct file_errnos allowed[KINDS] = {
	[KIND_CONTAINER] = { { EINVAL }, { EINVAL }, { ESPIPE }, { ENODEV, EINVAL } },
	[KIND_GROUP] = { { EINVAL }, { EINVAL }, { ESPIPE }, { ENODEV, EINVAL } },
	[KIND_DEVICE] = { { EINVAL, EFAULT, EIO, EBUSY }, { EINVAL, EFAULT, EIO, EBUSY },
			  { ESPIPE, EINVAL }, { EINVAL, EIO, ENODEV, EPERM } },
	[KIND_CDEV] = { { EINVAL, EFAULT, EIO, EBUSY }, { EINVAL, EFAULT, EIO, EBUSY },
			{ ESPIPE, EINVAL }, { EINVAL, EIO, ENODEV, EPERM } },
	[KIND_IOMMUFD] = { { EINVAL }, { EINVAL }, { ESPIPE }, { ENODEV, EINVAL, ENXIO } },
	[KIND_SAVE] = { { ENOMSG, ENODEV, EIO, EFAULT, ESPIPE, ENOTRECOVERABLE }, { EBADF },
			{ ESPIPE }, { ENODEV, EINVAL } },
	[KIND_LOAD] = { { EBADF },
			{ EINVAL, ENODEV, EIO, EFAULT, ESPIPE, ENOSPC, ENOMEM, ENOTRECOVERABLE },
			{ ESPIPE }, { ENODEV, EINVAL, EACCES } },
	[KIND_COMMAND] = { { EFAULT, EINVAL, EIO, ENODEV },
			   { EINVAL, ENOSPC, ENOENT, ENOMEM, EFAULT, EIO, ENODEV },
			   { EINVAL }, { ENODEV, EINVAL } },
	[KIND_EVENT] = { { EAGAIN, EINVAL, EFAULT, ESPIPE }, { EAGAIN, EINVAL, EFAULT, ESPIPE },
			 { ESPIPE }, { ENODEV, EINVAL } },
};

static void judge(const struct shared_fd *s, const char *what, long ret, const int *list)
{
	int err = errno;

	if (ret < 0 && !errno_in(list, err))
		fail(__FILE__, __LINE__, "%s of a fd of kind %u: errno %d", what, s->kind, err);
}

/* Where to: a good buffer mostly, else one that ends early or is none */
static void *some_buffer(struct fuzz_actor *a, size_t size)
{
	if (one_in(&a->random, 8))
		return bad_pointer(a);
	if (one_in(&a->random, 8))
		return a->arg.buffer + BUFFER_SIZE - size / 2;
	return a->arg.buffer + BUFFER_SIZE - size;
}

static size_t some_size(struct fuzz_actor *a)
{
	static const u32 sizes[] = { 0, 1, 2, 3, 4, 7, 8, 16, 64, 511, 4096, 5000, 65536 };

	return sizes[random_below(&a->random, ARRAY_SIZE(sizes))];
}

/* Regions of a device, and what is no region */
static off_t some_offset(struct fuzz_actor *a)
{
	u64 region = random_below(&a->random, VFIO_PCI_NUM_REGIONS + 1);

	if (one_in(&a->random, 16))
		return next_random(&a->random);
	if (one_in(&a->random, 2))
		region = one_in(&a->random, 2) ? VFIO_PCI_BAR0_REGION_INDEX :
						 VFIO_PCI_CONFIG_REGION_INDEX;
	return region << 40 | random_below(&a->random, one_in(&a->random, 4) ? KIB(32) : 512);
}

static const int *or_bad_offset(const int *list, off_t offset)
{
	static const int negative[] = { EINVAL, EFAULT, ESPIPE, EBADF, EOVERFLOW, 0 };

	return offset < 0 ? negative : list;
}

static void step_read(struct fuzz_actor *a, struct shared_fd *s)
{
	size_t size = some_size(a);
	void *buf = some_buffer(a, size);
	off_t offset = 0;
	ssize_t n;

	if (one_in(&a->random, 2) || (ANY_DEVICE >> s->kind & 1)) {
		static const int no_position[] = { ESPIPE, EINVAL, EBADF, 0 };

		offset = some_offset(a);
		n = pread(s->fd, buf, size, offset);
		if (n < 0 && errno_in(no_position, errno))
			return;
	} else {
		n = read(s->fd, buf, size);
	}
	judge(s, "read", n, or_bad_offset(allowed[s->kind].read, offset));
	must(n <= (ssize_t)size);
}

/* Lines that are short, with a letter changed: numbers stay small, or a delay would be long */
static size_t some_line(struct fuzz_actor *a, char *to, size_t size)
{
	static const char * const lines[] = {
		"arc *->* errno=EIO once\n", "arc *->STOP_COPY error once\n", "clear\n",
		"clear 1\n",
		"arc *->STOP delay=9 once\n", "read errno=EIO once\n", "read short=7 times=5\n",
		"write errno=EIO once\n", "precopy errno=EIO once\n", "data-size errno=EIO once\n",
		"write record=first refuse once\n", "arc *->RUNNING_P2P reset once\n", "# none\n",
	};
	size_t len = snprintf(to, size, "%s", lines[random_below(&a->random, ARRAY_SIZE(lines))]);
	size_t at = random_below(&a->random, len);

	if (one_in(&a->random, 2) && (to[at] < '0' || to[at] > '9'))
		to[at] = ' ' + random_below(&a->random, '0' - ' ');
	return len;
}

static void step_write(struct fuzz_actor *a, struct shared_fd *s)
{
	size_t size = some_size(a);
	void *buf = some_buffer(a, size);
	off_t offset = 0;
	char line[128];
	ssize_t n;

	if (s->kind == KIND_COMMAND && !one_in(&a->random, 4)) {
		size = some_line(a, line, sizeof(line));
		buf = line;
	}
	if (ANY_DEVICE >> s->kind & 1) {
		offset = some_offset(a);
		n = pwrite(s->fd, buf, size, offset);
	} else {
		n = write(s->fd, buf, size);
	}
	judge(s, "write", n, or_bad_offset(allowed[s->kind].write, offset));
	must(n <= (ssize_t)size && (n || !size || s->kind != KIND_LOAD));
}

static void step_seek(struct fuzz_actor *a, struct shared_fd *s)
{
	off_t at = one_in(&a->random, 2) ? some_offset(a) : 0;
	off_t ret = lseek(s->fd, at, random_below(&a->random, 5));
	static const int any[] = { ESPIPE, EINVAL, EOVERFLOW, ENXIO, 0 };

	judge(s, "lseek", ret, any);
}

static void step_poll(struct fuzz_actor *a, struct shared_fd *s)
{
	struct pollfd p = { .fd = s->fd, .events = next_random(&a->random) };
	int n = poll(&p, 1, random_below(&a->random, 4));

	must(n >= 0 && !(p.revents & POLLNVAL));
}

static _Thread_local sigjmp_buf no_memory;

static void on_sigbus(int signal)
{
	siglongjmp(no_memory, 1);
}

static void touch(struct fuzz_actor *a, u8 *mem, size_t size, int prot)
{
	struct sigaction action = { .sa_handler = on_sigbus };

	must(!sigaction(SIGBUS, &action, NULL));
	if (sigsetjmp(no_memory, 1))
		return;
	for (size_t at = 0; at < size; at += PAGE) {
		if (prot & PROT_READ)
			(void)__atomic_load_n((u32 *)(mem + at), __ATOMIC_RELAXED);
		if (prot & PROT_WRITE)
			__atomic_store_n((u32 *)(mem + at), a->random, __ATOMIC_RELAXED);
	}
}

static void step_map(struct fuzz_actor *a, struct shared_fd *s)
{
	static const int prots[] = { PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_NONE };
	int prot = prots[random_below(&a->random, ARRAY_SIZE(prots))];
	size_t size = (1 + random_below(&a->random, 5)) * PAGE;
	u64 offset = (u64)some_offset(a) & ~(PAGE - 1);
	void *mem;

	if (one_in(&a->random, 2))
		offset = random_below(&a->random, 4) * PAGE;
	mem = mmap(NULL, size, prot, one_in(&a->random, 4) ? MAP_PRIVATE : MAP_SHARED, s->fd,
		   offset);
	if (mem == MAP_FAILED) {
		if (errno == EOVERFLOW || errno == EACCES)
			return;
		judge(s, "mmap", -1, allowed[s->kind].map);
		return;
	}
	if (ANY_DEVICE >> s->kind & 1)
		touch(a, mem, size, prot);
	must(!munmap(mem, size));
}

/* Another number for the same file, which is closed first or last */
static void step_dup(struct fuzz_actor *a, struct shared_fd *s)
{
	int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);

	must(fd >= 0);
	fds_add(a, fd, s->kind, s->vf);
}

/* A child has the fd, without the threads, and ends with it */
static void step_fork(struct fuzz_actor *a, struct shared_fd *s)
{
	int status;
	pid_t pid;

	/* The child may be the last that has a group or a device */
	pthread_rwlock_wrlock(&a->fuzz->containers);
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		u8 byte;

		ioctl(s->fd, VFIO_DEVICE_GET_INFO, NULL);
		if (s->kind != KIND_COMMAND && read(s->fd, &byte, 1) > 1)
			_exit(1);
		close(s->fd);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid);
	pthread_rwlock_unlock(&a->fuzz->containers);
	must(!status);
}

static const struct {
	void (*step)(struct fuzz_actor *a, struct shared_fd *s);
	const char *name;
	unsigned int weight;
} steps[] = {
	{ step_read, "read", 30 }, { step_write, "write", 25 }, { step_seek, "lseek", 5 },
	{ step_poll, "poll", 10 }, { step_map, "mmap", 20 }, { step_dup, "dup", 8 },
	{ step_fork, "fork", 2 },
};

void file_step(struct fuzz_actor *a, struct shared_fd *s)
{
	unsigned int i = random_entry(&a->random, steps, ARRAY_SIZE(steps));

	stress_call_begins(&a->watch, steps[i].name);
	steps[i].step(a, s);
	stress_call_ends(&a->watch);
	a->files++;
}
