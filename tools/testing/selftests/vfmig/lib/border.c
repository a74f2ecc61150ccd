// SPDX-License-Identifier: GPL-2.0-only
/* See border.h */
#include "border.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfmig.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kmod.h"

#define DEBUGFS		"/sys/kernel/debug/" BORDER_MODULE
#define DEVICE_PF	0x5442
#define CHUNK		KIB(64)

/* Every test runs in a process of its own */
static struct {
	pid_t owner;
	bool loaded;
} *shared;

int border_unload(void)
{
	char pf[BDF_SIZE];

	shared->loaded = false;
	if (pci_find(DEVICE_PF, &pf, 1) && pf_numvfs(pf))
		pf_set_numvfs(pf, 0);
	return kmod_unload(BORDER_MODULE);
}

static void unload_at_exit(void)
{
	if (shared->owner == getpid() && shared->loaded)
		border_unload();
}

static void __attribute__((constructor)) init_shared(void)
{
	shared = shared_alloc(sizeof(*shared));
	shared->owner = getpid();
	atexit(unload_at_exit);
}

static const char *load(void)
{
	const char *why;

	if (shared->loaded)
		return NULL;
	if (geteuid())
		return "needs root";
	/* An earlier run may have been cut short */
	border_unload();
	why = kmod_load_test(BORDER_MODULE, "");
	if (why)
		return why;
	shared->loaded = true;
	return NULL;
}

/* The PF driver's answer to a write, 0 or -errno */
static int tell(const char *file, const char *text)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), DEBUGFS "/%s", file);
	return file_write(path, text);
}

int border_register(struct border *border, const char *offer)
{
	int err;

	for (unsigned int i = 0; i < BORDER_VFS; i++)
		if (pci_has_driver(border->vf[i], VF_DRIVER))
			must(!file_write(pci_path(border->vf[i], "driver/unbind"), border->vf[i]));
	err = tell("register", offer);
	if (err)
		return err;
	for (unsigned int i = 0; i < BORDER_VFS; i++)
		must(!file_write("/sys/bus/pci/drivers_probe", border->vf[i]));
	return 0;
}

/* As after loading the module */
static void forget(unsigned int n)
{
	border_tell(n, "fail", "none");
	border_tell(n, "calls", "0");
	border_tell(n, "state", "new size=1000 early=0 piece=65536 claim=0");
}

const char *border_setup(struct border *border, const char *offer)
{
	const char *why;

	*border = (struct border) {};
	why = load();
	if (why)
		return why;
	must(!system("modprobe -q " VF_DRIVER));
	must(pci_find(DEVICE_PF, &border->pf, 1) == 1);
	if (!pf_numvfs(border->pf))
		must(!pf_set_numvfs(border->pf, BORDER_VFS));
	for (unsigned int i = 0; i < BORDER_VFS; i++) {
		must(pf_vf(border->pf, i, border->vf[i]));
		forget(i);
		must(!file_write(pci_path(border->vf[i], "reset_method"), "default"));
	}
	must(!border_register(border, offer));
	for (unsigned int i = 0; i < BORDER_VFS; i++)
		must(pci_has_driver(border->vf[i], VF_DRIVER));
	return NULL;
}

static int open_vf(struct border *border, unsigned int n)
{
	must(!iommu_init(&border->iommu[n], IOMMU_TYPE1));
	return vfio_open(&border->dev[n], &border->iommu[n], border->vf[n]);
}

void border_open(struct border *border, unsigned int count)
{
	for (; border->open < count; border->open++)
		must(!open_vf(border, border->open));
}

struct vfio_dev *border_begin(struct border *border, const char *offer)
{
	must(!border_register(border, offer));
	border_open(border, 1);
	return &border->dev[0];
}

int border_try_open(struct border *border, unsigned int n)
{
	int err = open_vf(border, n);

	vfio_close(&border->dev[n]);
	iommu_exit(&border->iommu[n]);
	return err;
}

void border_close(struct border *border)
{
	while (border->open) {
		border->open--;
		vfio_close(&border->dev[border->open]);
		iommu_exit(&border->iommu[border->open]);
	}
}

static const char *vf_path(unsigned int n, const char *file)
{
	static _Thread_local char path[PATH_SIZE];

	snprintf(path, sizeof(path), DEBUGFS "/%u/%s", n, file);
	return path;
}

void border_tell(unsigned int n, const char *file, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	must(!file_write(vf_path(n, file), text));
}

void border_fail_later(unsigned int n, const char *op, int err, int times, unsigned int skip)
{
	border_tell(n, "fail", "%s %d %d %u", op, err, times, skip);
}

void border_fail(unsigned int n, const char *op, int err, int times)
{
	border_fail_later(n, op, err, times, 0);
}

unsigned int border_calls(unsigned int n, const char *op)
{
	char text[4096], key[64];
	unsigned int calls;
	char *line;

	must(!file_read(vf_path(n, "calls"), text, sizeof(text)));
	snprintf(key, sizeof(key), "%s ", op);
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, strlen(key)) &&
		    sscanf(line + strlen(key), "%u", &calls) == 1)
			return calls;
	}
	must(!"an operation");
	return 0;
}

unsigned int border_running(unsigned int n)
{
	return file_u64(vf_path(n, "running"), ~0ULL);
}

u64 border_loaded(unsigned int n)
{
	unsigned long long bytes, wrong;
	char text[64];

	must(!file_read(vf_path(n, "state"), text, sizeof(text)));
	must(sscanf(text, "%llu %llu", &bytes, &wrong) == 2);
	return wrong ? 0 : bytes;
}

void border_memory_fill(u64 offset, size_t len, u64 seed)
{
	int fd = open(vf_path(0, "memory"), O_WRONLY | O_CLOEXEC);
	u8 *buf = malloc(len);

	must(fd >= 0 && buf);
	fill_pattern(buf, len, seed);
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, buf + done, len - done, offset + done);

		must(n > 0);
		done += n;
	}
	free(buf);
	close(fd);
}

static void read_memory(unsigned int n, u8 *buf)
{
	int fd = open(vf_path(n, "memory"), O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	for (size_t done = 0; done < BORDER_MEMORY;) {
		ssize_t len = pread(fd, buf + done, BORDER_MEMORY - done, done);

		must(len > 0);
		done += len;
	}
	close(fd);
}

bool border_memory_same(void)
{
	u8 *a = malloc(2 * BORDER_MEMORY), *b = a + BORDER_MEMORY;
	bool same;

	must(a);
	read_memory(0, a);
	read_memory(1, b);
	same = !memcmp(a, b, BORDER_MEMORY) && !is_filled(a, BORDER_MEMORY, 0);
	free(a);
	return same;
}

int border_load(struct vfio_dev *dev, const struct blob *blob, size_t chunk)
{
	int err, fd;

	must(!mig_set(dev, RESUMING, &fd));
	err = mig_write(fd, blob->data, blob->len, chunk);
	close(fd);
	return err ?: mig_set(dev, RUNNING, NULL);
}

u64 border_state_bytes(u64 bytes)
{
	return bytes + (bytes + CHUNK - 1) / CHUNK * sizeof(struct vfmig_record);
}

u64 border_identity_bytes(void)
{
	return sizeof(struct vfmig_record) + sizeof(struct vfmig_identity) + 6;
}
