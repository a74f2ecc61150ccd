// SPDX-License-Identifier: GPL-2.0-only
/* See pf.h */
#include "pf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfmig.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Says, to a later run, that the VFs of the PF named in it are ours */
#define MARKER	"/run/vfmig-selftests"

static const char * const attr_names[] = { "media_mb", "lba_size", "queues" };

#define NUM_ATTRS	ARRAY_SIZE(attr_names)

#define NVME_MODEL	"nvme"

/* Every test runs in a process of its own: what must outlive it is shared */
static struct {
	pid_t owner;
	char pf[BDF_SIZE];
	struct pf_vfs have;	/* count is 0 if there are none */
	bool removal_tried, removal_hangs;
	bool attrs_saved;
	char model[32];
	u64 attrs[NUM_ATTRS];
} *shared;

static const char *attr_path(const char *pf, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "vfmig/%s", name);
	return pci_path(pf, file);
}

static void restore(void)
{
	if (shared->owner != getpid() || !shared->pf[0])
		return;
	if (shared->have.count)
		pf_set_numvfs(shared->pf, 0);
	file_write(attr_path(shared->pf, "model"), shared->model);
	for (unsigned int i = 0; shared->attrs_saved && i < NUM_ATTRS; i++)
		pf_attr_set(shared->pf, attr_names[i], shared->attrs[i]);
	pf_attr_set(shared->pf, "io_latency_us", 0);
	unlink(MARKER);
}

static void __attribute__((constructor)) init_shared(void)
{
	shared = shared_alloc(sizeof(*shared));
	shared->owner = getpid();
	atexit(restore);
}

void bdf_copy(char *to, const char *from)
{
	snprintf(to, BDF_SIZE, "%s", from);
}

const char *pci_path(const char *bdf, const char *file)
{
	static _Thread_local char path[PATH_SIZE];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, file);
	return path;
}

const char *vf_debugfs(const char *bdf, const char *file)
{
	static _Thread_local char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/kernel/debug/vfmig/%s/%s", bdf, file);
	return path;
}

u64 vf_dma_faults(const char *bdf)
{
	u64 n = file_u64(vf_debugfs(bdf, "dma_faults"), ~0ULL);

	must(n != ~0ULL);
	return n;
}

u64 vf_media_allocated(const char *bdf)
{
	u64 n = file_u64(vf_debugfs(bdf, "media_allocated"), ~0ULL);

	must(n != ~0ULL);
	return n;
}

int vf_erase(const char *bdf)
{
	return file_write(vf_debugfs(bdf, "erase"), "1");
}

#define LIMIT_FILE	"/sys/module/" SIM_MODULE "/parameters/media_limit_mb"

u64 media_limit(void)
{
	return file_u64(LIMIT_FILE, 0);
}

void media_limit_set(u64 mib)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", mib);
	must(!file_write(LIMIT_FILE, text));
}

bool pci_driver(const char *bdf, char *name, size_t size)
{
	return link_name(pci_path(bdf, "driver"), name, size);
}

bool pci_has_driver(const char *bdf, const char *driver)
{
	char name[64];

	return pci_driver(bdf, name, sizeof(name)) && !strcmp(name, driver);
}

int pci_rebind(const char *bdf, const char *override)
{
	char name[64];
	int err;

	if (pci_driver(bdf, name, sizeof(name))) {
		err = file_write(pci_path(bdf, "driver/unbind"), bdf);
		if (err)
			return err;
	}
	err = file_write(pci_path(bdf, "driver_override"), override);
	if (!err)
		err = file_write("/sys/bus/pci/drivers_probe", bdf);
	return err;
}

/* A module that was loaded has a state, and a parameter makes the folder anyway */
bool sim_built_in(void)
{
	return file_exists("/sys/module/" SIM_MODULE) &&
	       !file_exists("/sys/module/" SIM_MODULE "/initstate");
}

static int compare_bdf(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool has_id(const char *bdf, u16 device)
{
	return file_u64(pci_path(bdf, "vendor"), 0) == VFMIG_PCI_VENDOR_ID &&
	       file_u64(pci_path(bdf, "device"), 0) == device;
}

/* By its ID if it is an NVMe PF, which need not have a driver then */
static bool is_pf(const char *bdf, u16 device)
{
	return has_id(bdf, device) || file_exists(pci_path(bdf, "vfmig/model"));
}

static unsigned int find(bool (*matches)(const char *bdf, u16 device), u16 device,
			 char bdf[][BDF_SIZE], unsigned int max)
{
	unsigned int n = 0;
	struct dirent *de;
	DIR *dir;

	dir = opendir(PCI_DEVICES);
	if (!dir)
		return 0;
	while ((de = readdir(dir)) && n < max) {
		if (de->d_name[0] == '.' || strlen(de->d_name) >= BDF_SIZE)
			continue;
		if (!matches(de->d_name, device))
			continue;
		bdf_copy(bdf[n++], de->d_name);
	}
	closedir(dir);
	qsort(bdf, n, BDF_SIZE, compare_bdf);
	return n;
}

unsigned int pci_find(u16 device, char bdf[][BDF_SIZE], unsigned int max)
{
	return find(has_id, device, bdf, max);
}

unsigned int pf_find(char bdf[][BDF_SIZE], unsigned int max)
{
	return find(is_pf, VFMIG_PCI_DEVICE_ID_PF, bdf, max);
}

struct vf_remover {
	const char *pf;
	u64 end_ms;
};

static void *remove_vfs_thread(void *arg)
{
	struct vf_remover *r = arg;

	must(!pf_set_numvfs(r->pf, 0));
	r->end_ms = now_ms();
	return NULL;
}

/*
 * When VFs go, the PCI core waits for a second after the last one.  Does a rescan, which
 * takes the lock, come to its end with that?  If it does when the VFs are gone, the lock is
 * taken for the VFs alone, inside of what a PF's driver calls.
 */
static bool core_locks_in_disable(const char *pf)
{
	struct vf_remover r = { .pf = pf };
	char path[PATH_SIZE], vf[BDF_SIZE];
	pthread_t thread;
	u64 begin_ms, rescan_ms;

	must(!pf_set_numvfs(pf, 1));
	must(pf_vf(pf, 0, vf));
	must(!pthread_create(&thread, NULL, remove_vfs_thread, &r));
	must(wait_until(!file_exists(pci_path(vf, "vendor"))));
	begin_ms = now_ms();
	snprintf(path, sizeof(path), "/sys/class/pci_bus/%.7s/rescan", pf);
	must(!file_write(path, "1"));
	rescan_ms = now_ms();
	pthread_join(thread, NULL);
	return r.end_ms > rescan_ms && r.end_ms - rescan_ms > rescan_ms - begin_ms;
}

const char *pf_stays(const char *pf)
{
	if (!shared->removal_tried) {
		shared->removal_hangs = core_locks_in_disable(pf);
		shared->removal_tried = true;
	}
	if (shared->removal_hangs)
		return "the PCI core waits for its own lock when a PF with VFs is removed";
	return NULL;
}

int pf_set_numvfs(const char *pf, unsigned int count)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", count);
	return file_write(pci_path(pf, "sriov_numvfs"), text);
}

unsigned int pf_numvfs(const char *pf)
{
	return file_u64(pci_path(pf, "sriov_numvfs"), 0);
}

int pf_attr_set(const char *pf, const char *name, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", value);
	return file_write(attr_path(pf, name), text);
}

u64 pf_attr(const char *pf, const char *name)
{
	return file_u64(attr_path(pf, name), ~0ULL);
}

bool pf_vf(const char *pf, unsigned int index, char *bdf)
{
	char file[32];

	snprintf(file, sizeof(file), "virtfn%u", index);
	return link_name(pci_path(pf, file), bdf, BDF_SIZE);
}

static bool marked_as_ours(const char *pf)
{
	char name[BDF_SIZE + 1];

	return !file_read(MARKER, name, sizeof(name)) && !strcmp(name, pf);
}

static void mark_as_ours(const char *pf)
{
	int fd = open(MARKER, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	if (write(fd, pf, strlen(pf)) < 0)
		note("%s: %s", MARKER, strerror(errno));
	close(fd);
}

static const char *adopt_pf(void)
{
	static char reason[128];
	char pfs[MAX_PFS][BDF_SIZE];

	if (shared->pf[0] && file_exists(pci_path(shared->pf, "sriov_numvfs")))
		return NULL;
	if (geteuid())
		return "needs root";
	if (!pf_find(pfs, MAX_PFS))
		return "no simulated PF: load " SIM_MODULE;
	if (pf_numvfs(pfs[0]) && !marked_as_ours(pfs[0])) {
		snprintf(reason, sizeof(reason),
			 "%s has VFs that are not the tests': set its sriov_numvfs to 0",
			 pfs[0]);
		return reason;
	}
	if (pf_numvfs(pfs[0]))
		must(!pf_set_numvfs(pfs[0], 0));
	must(!file_read(attr_path(pfs[0], "model"), shared->model, sizeof(shared->model)));
	for (unsigned int i = 0; i < NUM_ATTRS; i++)
		shared->attrs[i] = pf_attr(pfs[0], attr_names[i]);
	shared->attrs_saved = true;
	bdf_copy(shared->pf, pfs[0]);
	mark_as_ours(shared->pf);
	return NULL;
}

void pf_vfs_gone(void)
{
	shared->have.count = 0;
}

static bool pf_has_model(const char *pf, const char *model)
{
	char name[32];

	return !file_read(attr_path(pf, "model"), name, sizeof(name)) && !strcmp(name, model);
}

/* Returns NULL, or why the PF can't have the model */
static const char *set_model(const char *pf, const char *model)
{
	static char reason[64];

	if (pf_has_model(pf, model))
		return NULL;
	if (pf_numvfs(pf))
		must(!pf_set_numvfs(pf, 0));
	shared->have.count = 0;
	if (!file_write(attr_path(pf, "model"), model))
		return NULL;
	snprintf(reason, sizeof(reason), SIM_MODULE " has no model %s", model);
	return reason;
}

static bool is_nvme(const struct pf_vfs *vfs)
{
	return !strcmp(vfs->model, NVME_MODEL);
}

static void set_defaults(struct pf_vfs *vfs)
{
	vfs->model = vfs->model ?: NVME_MODEL;
	vfs->media_mb = vfs->media_mb ?: 1;
	vfs->lba_size = vfs->lba_size ?: 512;
	vfs->queues = vfs->queues ?: 32;
	vfs->pairs = vfs->pairs ?: 2;
}

static bool settings_equal(const struct pf_vfs *a, const struct pf_vfs *b)
{
	if (is_nvme(a))
		return a->media_mb == b->media_mb && a->lba_size == b->lba_size &&
		       a->queues == b->queues;
	return a->pairs == b->pairs;
}

static void apply_settings(const char *pf, const struct pf_vfs *vfs)
{
	if (is_nvme(vfs)) {
		must(!pf_attr_set(pf, "media_mb", vfs->media_mb));
		must(!pf_attr_set(pf, "lba_size", vfs->lba_size));
		must(!pf_attr_set(pf, "queues", vfs->queues));
	} else {
		must(!pf_attr_set(pf, "queue_pairs", vfs->pairs));
	}
}

const char *pf_require(const struct pf_vfs *want, char *pf)
{
	struct pf_vfs w = *want;
	const char *why;

	why = adopt_pf();
	if (why)
		return why;
	bdf_copy(pf, shared->pf);

	set_defaults(&w);
	why = set_model(pf, w.model);
	if (why)
		return why;
	if (is_nvme(&w)) {
		must(!pf_attr_set(pf, "io_latency_us", 0));
		must(!pf_attr_set(pf, "erase_on_close", 0));
		must(!pf_attr_set(pf, "doorbell_poll_us", 0));
		must(!pf_attr_set(pf, "map_registers", 0));
	}
	if (w.count && shared->have.count >= w.count && shared->have.count == pf_numvfs(pf) &&
	    settings_equal(&shared->have, &w))
		return NULL;

	if (pf_numvfs(pf))
		must(!pf_set_numvfs(pf, 0));
	shared->have.count = 0;
	apply_settings(pf, &w);
	if (w.count)
		must(!pf_set_numvfs(pf, w.count));
	shared->have = w;
	return NULL;
}
