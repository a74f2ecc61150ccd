// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl on real VFs: what it says of them, what it changes, and that it takes the streams of
 * each model.  What it makes of other files is tested without a device (tools/vfmig/test).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "mig.h"

#include "harness.h"

/* Of PF 0 and its VFs, in the output of list */
#define VF(n)	"d[0][\"functions\"][" #n "]"

struct users {
	char pf[BDF_SIZE];
	char vf[2][BDF_SIZE];
	struct iommu iommu[2];
	struct vfio_dev dev[2];
	unsigned int opened;
};

FIXTURE(ctl)
{
	struct users users;
};

FIXTURE_SETUP(ctl)
{
	const char *why = ctl_require();

	if (!why)
		why = pf_require(&(struct pf_vfs){ .count = 2 }, self->users.pf);
	if (why)
		SKIP(return, "%s", why);
	for (unsigned int i = 0; i < 2; i++)
		ASSERT_TRUE(pf_vf(self->users.pf, i, self->users.vf[i]));
}

static const char *open_devices(struct users *users)
{
	for (unsigned int i = 0; i < 2; i++) {
		const char *why = iommu_init(&users->iommu[i], IOMMU_TYPE1);

		if (why)
			return why;
		must(!vfio_open(&users->dev[i], &users->iommu[i], users->vf[i]));
		users->opened++;
	}
	return NULL;
}

static void close_devices(struct users *users)
{
	while (users->opened) {
		unsigned int i = --users->opened;

		vfio_close(&users->dev[i]);
		iommu_exit(&users->iommu[i]);
	}
}

FIXTURE_TEARDOWN(ctl)
{
	close_devices(&self->users);
}

TEST_F(ctl, list_and_show_vfs_that_nobody_uses)
{
	char expression[128];

	/* A VF that tests before this one used may have had some */
	snprintf(expression, sizeof(expression),
		 "d[\"type\"] == \"VF\" and d[\"driver\"] == \"vfmig_vfio_pci\" and "
		 "d[\"values\"][\"dma_faults\"] == %llu", vf_dma_faults(self->users.vf[1]));
	EXPECT_TRUE(ctl_json("len(d[0][\"functions\"]) == 2 and d[0][\"model\"] == \"nvme\"",
			     "list"))
		TH_LOG("%s", tool_said());
	EXPECT_TRUE(ctl_json(VF(0) "[\"state\"] == \"RUNNING\" and "
			     VF(0) "[\"session\"] == \"none\" and " VF(0) "[\"open_by\"] == [] and "
			     VF(0) "[\"media_mb\"] == 1 and " VF(0) "[\"media_allocated\"] == 0",
			     "list"))
		TH_LOG("%s", tool_said());
	EXPECT_TRUE(ctl_json(expression, "show %s", self->users.vf[1]))
		TH_LOG("%s", tool_said());
	EXPECT_TRUE(ctl_json("d[\"settings\"][\"lba_size\"] == 512", "show %s", self->users.pf));
	EXPECT_EQ(ctl("list"), 0);
	EXPECT_TRUE(strstr(tool_said(), self->users.vf[1]) && strstr(tool_said(), "2 of 64 VFs"));
	EXPECT_TRUE(ctl_json("len(d) >= 1", "watch -n 1"));
}

/* A short read, and a load that has got one record */
static void move_a_little(struct users *users, int *fds, struct blob *blob)
{
	u8 piece[100];

	must(!mig_set(&users->dev[0], STOP_COPY, &fds[0]));
	must(read(fds[0], piece, sizeof(piece)) == sizeof(piece));
	must(!mig_set(&users->dev[1], RESUMING, &fds[1]));
	/* An identity is 84 bytes */
	blob_append(blob, piece, sizeof(piece));
	must(!mig_write(fds[1], blob->data, blob->len, blob->len));
}

TEST_F(ctl, list_shows_where_a_migration_stands)
{
	struct blob blob = {};
	char who[128];
	int fds[2];
	u64 size;
	const char *why = open_devices(&self->users);

	if (why)
		SKIP(return, "%s", why);
	move_a_little(&self->users, fds, &blob);
	ASSERT_EQ(mig_size(&self->users.dev[0], &size), 0);
	EXPECT_TRUE(ctl_json(VF(0) "[\"state\"] == \"STOP_COPY\" and "
			     VF(0) "[\"session\"] == \"save\" and " VF(0) "[\"done\"] == 100",
			     "list"))
		TH_LOG("%s", tool_said());
	EXPECT_TRUE(ctl_json(VF(1) "[\"state\"] == \"RESUMING\" and "
			     VF(1) "[\"session\"] == \"load\" and " VF(1) "[\"done\"] == 84 and "
			     VF(1) "[\"left\"] is None", "list"))
		TH_LOG("%s", tool_said());
	snprintf(who, sizeof(who), VF(0) "[\"left\"] == %llu and "
		 "[o[\"pid\"] for o in " VF(1) "[\"open_by\"]].count(%d) == 1", size, getpid());
	EXPECT_TRUE(ctl_json(who, "list")) TH_LOG("%s", tool_said());

	EXPECT_EQ(ctl("remove %s", self->users.pf), 1);
	EXPECT_TRUE(strstr(tool_said(), "is open, by process")) TH_LOG("%s", tool_said());
	EXPECT_EQ(pf_numvfs(self->users.pf), 2);
	EXPECT_EQ(ctl("erase %s", self->users.vf[0]), 1);
	EXPECT_TRUE(strstr(tool_said(), "not now")) TH_LOG("%s", tool_said());

	close_devices(&self->users);
	EXPECT_TRUE(ctl_json(VF(0) "[\"state\"] == \"RUNNING\" and " VF(0) "[\"done\"] is None",
			     "list"))
		TH_LOG("%s", tool_said());
	close(fds[0]);
	close(fds[1]);
	blob_free(&blob);
}

TEST_F(ctl, vfs_are_created_and_removed)
{
	EXPECT_EQ(ctl("create %s 3", self->users.pf), 1);
	EXPECT_TRUE(strstr(tool_said(), "has 2 VFs already")) TH_LOG("%s", tool_said());
	EXPECT_EQ(ctl("remove %s", self->users.pf), 0) TH_LOG("%s", tool_said());
	EXPECT_EQ(pf_numvfs(self->users.pf), 0);
	pf_vfs_gone();
	EXPECT_TRUE(ctl_json("len(d[\"functions\"]) == 3", "create %s 3", self->users.pf))
		TH_LOG("%s", tool_said());
	EXPECT_EQ(pf_numvfs(self->users.pf), 3);
	EXPECT_TRUE(ctl_json("d[\"functions\"] == []", "remove %s", self->users.pf));
	EXPECT_EQ(pf_numvfs(self->users.pf), 0);
	EXPECT_EQ(ctl("create %s 65", self->users.pf), 2);
	EXPECT_TRUE(strstr(tool_said(), "'65' is no number from 1 to 64"));
	EXPECT_EQ(pf_numvfs(self->users.pf), 0);
}

TEST_F(ctl, settings_are_changed_or_left_alone)
{
	EXPECT_EQ(ctl("set %s io_latency_us 7", self->users.vf[0]), 0) TH_LOG("%s", tool_said());
	EXPECT_EQ(file_u64(vf_debugfs(self->users.vf[0], "io_latency_us"), 0), 7);
	EXPECT_EQ(ctl("set %s io_latency_us x", self->users.vf[0]), 1);
	EXPECT_TRUE(strstr(tool_said(), "can't set io_latency_us to 'x'"))
		TH_LOG("%s", tool_said());
	EXPECT_EQ(file_u64(vf_debugfs(self->users.vf[0], "io_latency_us"), 0), 7);
	EXPECT_EQ(ctl("set %s lba_size 1000", self->users.pf), 1);
	EXPECT_TRUE(strstr(tool_said(), "can't set lba_size to '1000': the device does not take"));
	EXPECT_EQ(pf_attr(self->users.pf, "lba_size"), 512);
	EXPECT_EQ(ctl("set %s model virtio-net", self->users.pf), 1);
	EXPECT_TRUE(strstr(tool_said(), "not now")) TH_LOG("%s", tool_said());
	EXPECT_EQ(ctl("set %s no 1", self->users.vf[0]), 1);
	EXPECT_TRUE(strstr(tool_said(), "has no setting 'no'; it has: ")) TH_LOG("%s", tool_said());
	EXPECT_TRUE(strstr(tool_said(), "erase_on_close")) TH_LOG("%s", tool_said());
	EXPECT_TRUE(strstr(tool_said(), "doorbell_poll_us")) TH_LOG("%s", tool_said());
	EXPECT_TRUE(strstr(tool_said(), "map_registers")) TH_LOG("%s", tool_said());

	EXPECT_EQ(ctl("resize %s 3", self->users.vf[0]), 0) TH_LOG("%s", tool_said());
	EXPECT_TRUE(ctl_json("d[\"media_mb\"] == 3", "show %s", self->users.vf[0]));
	EXPECT_EQ(ctl("erase %s", self->users.vf[0]), 0) TH_LOG("%s", tool_said());
	EXPECT_EQ(ctl("resize %s 1", self->users.vf[0]), 0);
}

/* The models that there are, which the kernel does not list: an unknown one is skipped */
FIXTURE(ctl_stream)
{
	char pf[BDF_SIZE];
	struct iommu iommu;
	struct vfio_dev dev;
	bool changed;
	bool opened;
};

FIXTURE_VARIANT(ctl_stream)
{
	const char *model;
	bool known;		/* to vfmigctl */
};

FIXTURE_VARIANT_ADD(ctl_stream, nvme) { .model = "nvme", .known = true };
FIXTURE_VARIANT_ADD(ctl_stream, virtio_net) { .model = "virtio-net", .known = true };
FIXTURE_VARIANT_ADD(ctl_stream, sample) { .model = "sample" };

FIXTURE_SETUP(ctl_stream)
{
	const char *why = ctl_require();
	char vf[BDF_SIZE];

	if (!why)
		why = pf_require(&(struct pf_vfs){}, self->pf);
	if (!why)
		why = iommu_init(&self->iommu, IOMMU_TYPE1);
	if (why)
		SKIP(return, "%s", why);
	self->opened = true;
	if (file_write(pci_path(self->pf, "vfmig/model"), variant->model))
		SKIP(return, "no model %s", variant->model);
	self->changed = true;
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	ASSERT_TRUE(pf_vf(self->pf, 0, vf));
	ASSERT_EQ(vfio_open(&self->dev, &self->iommu, vf), 0);
}

FIXTURE_TEARDOWN(ctl_stream)
{
	if (self->changed) {
		vfio_close(&self->dev);
		EXPECT_EQ(pf_set_numvfs(self->pf, 0), 0);
		EXPECT_EQ(file_write(pci_path(self->pf, "vfmig/model"), "nvme"), 0);
	}
	if (self->opened)
		iommu_exit(&self->iommu);
}

TEST_F(ctl_stream, of_a_device_is_accepted)
{
	char path[] = "/tmp/ctl_test.XXXXXX", expression[256];
	struct blob blob = {};
	int fd = mkstemp(path);

	ASSERT_GE(fd, 0);
	mig_save(&self->dev, &blob);
	ASSERT_EQ(write(fd, blob.data, blob.len), (ssize_t)blob.len);
	snprintf(expression, sizeof(expression), "d[\"accepted\"] and d[\"stream\"][\"identity\"]"
		 "[\"model\"] == \"%s\" and (len(d[\"stream\"][\"state\"]) > 2) == %s",
		 variant->model, variant->known ? "True" : "False");
	EXPECT_TRUE(ctl_json(expression, "stream check --like %s %s", path, path))
		TH_LOG("%s", tool_said());
	EXPECT_EQ(ctl("stream diff %s %s", path, path), 0) TH_LOG("%s", tool_said());
	EXPECT_EQ(ftruncate(fd, blob.len - 1), 0);
	EXPECT_EQ(ctl("stream check %s", path), 1);
	EXPECT_TRUE(strstr(tool_said(), "the stream ends in the payload of a record"));
	close(fd);
	unlink(path);
	blob_free(&blob);
}

TEST_HARNESS_MAIN
