// SPDX-License-Identifier: GPL-2.0-only
/*
 * The border between the variant driver and a PF driver (include/linux/vfmig.h): what a PF
 * driver must have, what its VFs offer, and what becomes of an operation that fails.  The PF
 * driver is that of the module vfmig_test_border.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "border.h"
#include "dirty.h"
#include "kmod.h"
#include "kmsg.h"
#include "precopy.h"

#include "harness.h"

#define ALONE		"flags=1"
#define NO_P2P		"flags=5"
#define NO_PRE_COPY	"flags=3"
#define ALL		"flags=7"

FIXTURE(border_ops)
{
	struct border border;
	struct vfio_dev *dev;	/* VF 0, which border_begin() opens */
};

FIXTURE_SETUP(border_ops)
{
	const char *why = border_setup(&self->border, ALL);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->border.dev[0];
}

FIXTURE_TEARDOWN(border_ops)
{
	border_close(&self->border);
}

TEST_F(border_ops, missing_operation_is_refused_and_named)
{
	static const struct {
		const char *offer, *op;
	} needs[] = {
		{ ALONE, "owner" },
		{ ALONE, "find" },
		{ ALONE, "open" },
		{ ALONE, "close" },
		{ ALONE, "bar_read" },
		{ ALONE, "bar_write" },
		{ ALL, "quiesce" },
		{ ALL, "resume" },
		{ ALONE, "freeze" },
		{ ALONE, "thaw" },
		{ ALONE, "identity" },
		{ ALONE, "save_start" },
		{ ALONE, "state_pending" },
		{ ALONE, "state_read" },
		{ ALONE, "load_start" },
		{ ALONE, "load_state" },
		{ ALONE, "load_commit" },
		{ "flags=1 map", "map" },
		{ "flags=1 mem=pages", "allocated" },
		{ "flags=1 mem=pages", "pending" },
		{ "flags=1 mem=buffer", "next" },
		{ "flags=1 mem=pages", "page" },
		{ "flags=1 mem=pages", "load_page" },
		{ "flags=1 mem=buffer", "load_hole" },
		{ "flags=1 log", "start" },
		{ "flags=1 log", "stop" },
		{ "flags=1 log", "report" },
	};
	int kmsg = kmsg_open();

	for (unsigned int i = 0; i < ARRAY_SIZE(needs); i++) {
		const char *table = strstr(needs[i].offer, "mem") ? "mem" :
				    strstr(needs[i].offer, "log") ? "log" : "ops";
		char offer[128], text[64];

		snprintf(offer, sizeof(offer), "%s without=%s", needs[i].offer, needs[i].op);
		snprintf(text, sizeof(text), "vfmig: no operation %s->%s,", table,
			 needs[i].op);
		EXPECT_EQ(border_register(&self->border, offer), -EINVAL) TH_LOG("%s", offer);
		EXPECT_TRUE(kmsg_says(kmsg, text)) TH_LOG("%s", text);
	}
	close(kmsg);
}

/* Of memory by buffer: the name is that of the operation on pages, which would do as well */
TEST_F(border_ops, memory_that_can_not_be_read_or_loaded_is_refused)
{
	EXPECT_EQ(border_register(&self->border, "flags=1 mem=buffer without=read"), -EINVAL);
	EXPECT_EQ(border_register(&self->border, "flags=1 mem=buffer without=load_data"), -EINVAL);
}

TEST_F(border_ops, operations_that_may_be_missing_are_not_missed)
{
	static const char * const none[] = {
		"bar_read", "bar_write", "quiesce", "resume", "enter", "reset", "reset_prepare",
		"reset_done", "identity_check", "save_stop", "handed_over", "load_abort",
	};
	char offer[512] = "flags=1 hw_bars=0x3f";
	struct blob blob = {};
	int fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(none); i++) {
		strcat(offer, " without=");
		strcat(offer, none[i]);
	}
	border_begin(&self->border, offer);
	EXPECT_EQ(vfio_reset(self->dev), 0);
	mig_save(self->dev, &blob);
	EXPECT_EQ(mig_load(self->dev, &blob), 0);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	ASSERT_EQ(mig_set(self->dev, RESUMING, &fd), 0);
	EXPECT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	close(fd);
	blob_free(&blob);
}

TEST_F(border_ops, flags_that_make_no_sense_are_refused)
{
	static const char * const wrong[] = { "flags=0", "flags=2", "flags=4", "flags=6",
					      "flags=9", "flags=0x8000000000000001" };

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		EXPECT_EQ(border_register(&self->border, wrong[i]), -EINVAL)
			TH_LOG("%s", wrong[i]);
	}
}

/* find() says that it is not one for the variant driver */
TEST_F(border_ops, vf_that_is_not_found_is_not_driven)
{
	border_fail(1, "find", ENODEV, 1);
	ASSERT_EQ(border_register(&self->border, ALL), 0);
	EXPECT_TRUE(pci_has_driver(self->border.vf[0], VF_DRIVER));
	EXPECT_FALSE(pci_has_driver(self->border.vf[1], VF_DRIVER));
}

TEST_F(border_ops, flags_offered_are_those_of_the_pf_driver)
{
	for (u64 flags = 1; flags < 8; flags += 2) {
		char offer[32];
		u64 offered;

		snprintf(offer, sizeof(offer), "flags=%llu", flags);
		border_begin(&self->border, offer);
		EXPECT_EQ(mig_flags(self->dev, &offered), 0);
		EXPECT_EQ(offered, flags);
		border_close(&self->border);
	}
}

TEST_F(border_ops, states_that_are_not_offered_are_refused)
{
	border_begin(&self->border, ALONE);
	EXPECT_EQ(mig_set(self->dev, RUNNING_P2P, NULL), -EINVAL);
	EXPECT_EQ(mig_set(self->dev, PRE_COPY, NULL), -EINVAL);
	EXPECT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), -EINVAL);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

/* RUNNING <-> STOP, PRE_COPY -> STOP_COPY */
TEST_F(border_ops, device_without_p2p_is_never_quiesced)
{
	int fd;

	border_begin(&self->border, NO_P2P);
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(border_running(0), FROZEN);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(border_running(0), RUNS);
	fd = precopy_begin(self->dev, PRE_COPY);
	EXPECT_EQ(border_running(0), RUNS);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(border_running(0), FROZEN);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(border_running(0), RUNS);
	EXPECT_EQ(border_calls(0, "quiesce"), 0);
	EXPECT_EQ(border_calls(0, "resume"), 0);
	EXPECT_EQ(border_calls(0, "freeze"), 2);
	EXPECT_EQ(border_calls(0, "thaw"), 2);
	close(fd);
}

TEST_F(border_ops, device_with_p2p_is_quiesced_before_it_is_frozen)
{
	border_begin(&self->border, NO_PRE_COPY);
	ASSERT_EQ(mig_set(self->dev, RUNNING_P2P, NULL), 0);
	EXPECT_EQ(border_running(0), QUIESCED);
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(border_running(0), FROZEN);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(border_calls(0, "quiesce"), 1);
	EXPECT_EQ(border_calls(0, "freeze"), 1);
	EXPECT_EQ(border_calls(0, "thaw"), 1);
	EXPECT_EQ(border_calls(0, "resume"), 1);
}

TEST_F(border_ops, log_is_offered_only_by_a_device_that_has_one)
{
	u64 bits[4];

	border_begin(&self->border, ALL);
	EXPECT_EQ(vfio_feature(self->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			       VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0), -ENOTTY);
	border_close(&self->border);

	border_begin(&self->border, "flags=7 log");
	if (track_offered(self->dev, BY_DEVICE))
		SKIP(return, "this kernel has no logging");
	border_fail(0, "start", ENOSPC, 1);
	EXPECT_EQ(track_start(self->dev, BY_DEVICE, 0, MIB(1)), -ENOSPC);
	EXPECT_EQ(track_start(self->dev, BY_DEVICE, 0, MIB(1)), 0);
	border_fail(0, "report", EIO, 1);
	EXPECT_EQ(track_report(self->dev, BY_DEVICE, 0, MIB(1), PAGE, bits), -EIO);
	EXPECT_EQ(track_report(self->dev, BY_DEVICE, 0, MIB(1), PAGE, bits), 0);
	border_fail(0, "stop", EIO, 1);
	EXPECT_EQ(track_stop(self->dev, BY_DEVICE), -EIO);
	EXPECT_EQ(track_report(self->dev, BY_DEVICE, 0, MIB(1), PAGE, bits), 0);
	EXPECT_EQ(track_stop(self->dev, BY_DEVICE), 0);
}

/* BAR 0 is trapped, BAR 2 is not */
TEST_F(border_ops, bar_with_hardware_belongs_to_the_core)
{
	struct vfio_device_ioeventfd none = {
		.argsz = sizeof(none),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.fd = -1,
	};
	const u32 bars[] = { VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_BAR2_REGION_INDEX };
	struct vfio_region_info info;
	u32 value;

	border_begin(&self->border, "flags=7 hw_bars=4");
	bar_write64(self->dev, 8, 0x1122334455667788);
	EXPECT_EQ(bar_read64(self->dev, 8), 0x1122334455667788);
	EXPECT_NE(border_calls(0, "enter"), 0);
	vfio_region_info(self->dev, VFIO_PCI_BAR0_REGION_INDEX, &info);
	EXPECT_FALSE(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
	/* The core finds that there is no such BAR.  Trapped, it would read as all ones. */
	vfio_region_info(self->dev, VFIO_PCI_BAR2_REGION_INDEX, &info);
	EXPECT_EQ(pread(self->dev->fd, &value, sizeof(value), info.offset), -1);
	/* Neither can have an ioeventfd */
	for (unsigned int i = 0; i < ARRAY_SIZE(bars); i++) {
		vfio_region_info(self->dev, bars[i], &info);
		none.offset = info.offset;
		EXPECT_EQ(ioctl(self->dev->fd, VFIO_DEVICE_IOEVENTFD, &none), -1);
		EXPECT_EQ(errno, ENOTTY);
	}
}

TEST_F(border_ops, page_of_the_pf_driver_can_be_mapped)
{
	u8 *page;

	border_begin(&self->border, "flags=7 map");
	border_tell(0, "calls", "0");
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->dev->fd,
		    self->dev->bar0);
	ASSERT_NE(page, MAP_FAILED);
	EXPECT_EQ(border_calls(0, "map"), 0);
	__atomic_store_n(page + 5, 55, __ATOMIC_RELAXED);
	__atomic_store_n(page + 6, 66, __ATOMIC_RELAXED);
	EXPECT_EQ(border_calls(0, "map"), 1);
	border_tell(0, "event", "unmap");
	EXPECT_EQ(__atomic_load_n(page + 5, __ATOMIC_RELAXED), 55);
	EXPECT_EQ(border_calls(0, "map"), 2);
	/* VFIO takes it away by itself */
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(__atomic_load_n(page + 6, __ATOMIC_RELAXED), 66);
	EXPECT_EQ(border_calls(0, "map"), 3);
	border_tell(0, "event", "unmap");
	border_fail(0, "map", EIO, 1);
	EXPECT_FALSE(is_there(page));
	EXPECT_TRUE(is_there(page));
	border_tell(0, "event", "gone");
	EXPECT_FALSE(is_there(page));
	munmap(page, PAGE);
}

TEST_F(border_ops, open_that_fails_fails_the_users)
{
	border_fail(0, "open", ENOSPC, 1);
	EXPECT_EQ(border_try_open(&self->border, 0), -ENOSPC);
	EXPECT_EQ(border_calls(0, "close"), 0);
	EXPECT_EQ(border_try_open(&self->border, 0), 0);
	EXPECT_EQ(border_calls(0, "close"), 1);
}

/* An arc, and the operation that it takes */
static const struct arc {
	u32 from, to;
	const char *op;
	bool fd;		/* a data fd comes with it */
} arcs[] = {
	{ RUNNING, RUNNING_P2P, "quiesce", false },
	{ RUNNING_P2P, RUNNING, "resume", false },
	{ RUNNING_P2P, STOP, "freeze", false },
	{ STOP, RUNNING_P2P, "thaw", false },
	{ STOP, STOP_COPY, "identity", true },
	{ STOP, STOP_COPY, "save_start", true },
	{ STOP, STOP_COPY, "save_final", true },
	{ STOP_COPY, STOP, "save_stop", false },
	{ STOP, RESUMING, "load_start", true },
	{ RUNNING, PRE_COPY, "save_start", true },
	{ RUNNING_P2P, PRE_COPY_P2P, "save_start", true },
	{ PRE_COPY, PRE_COPY_P2P, "quiesce", false },
	{ PRE_COPY_P2P, PRE_COPY, "resume", false },
	{ PRE_COPY, RUNNING, "save_stop", false },
	{ PRE_COPY_P2P, RUNNING_P2P, "save_stop", false },
	{ PRE_COPY_P2P, STOP_COPY, "freeze", false },
	{ PRE_COPY_P2P, STOP_COPY, "save_final", false },
};

/* From RUNNING to where @arc begins; returns the data fd there, or -1 */
static int go_to(struct vfio_dev *dev, const struct arc *arc)
{
	int fd = -1;

	if (arc->from != RUNNING)
		must(!mig_set(dev, arc->from, &fd));
	return fd;
}

static void leave(struct vfio_dev *dev, int fd)
{
	if (fd >= 0)
		close(fd);
	must(!vfio_reset(dev));
	must(mig_get(dev) == RUNNING);
}

TEST_F_TIMEOUT(border_ops, arc_that_fails_leaves_the_state_as_it_was, 60)
{
	border_begin(&self->border, ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
		const struct arc *arc = &arcs[i];
		int fd = go_to(self->dev, arc), again = -1;
		unsigned int running = border_running(0);

		border_fail(0, arc->op, EXDEV, 2);
		EXPECT_EQ(mig_set(self->dev, arc->to, &again), -EXDEV)
			TH_LOG("arc %u, %s", i, arc->op);
		EXPECT_EQ(mig_get(self->dev), arc->from) TH_LOG("arc %u, %s", i, arc->op);
		EXPECT_EQ(border_running(0), running) TH_LOG("arc %u, %s", i, arc->op);
		EXPECT_EQ(mig_set(self->dev, arc->to, &again), -EXDEV);
		EXPECT_EQ(mig_set(self->dev, arc->to, &again), 0)
			TH_LOG("arc %u, %s", i, arc->op);
		EXPECT_EQ(again >= 0, arc->fd);
		EXPECT_EQ(mig_get(self->dev), arc->to);
		if (again >= 0)
			close(again);
		leave(self->dev, fd);
	}
}

TEST_F_TIMEOUT(border_ops, arc_that_fails_for_good_leads_to_error, 60)
{
	u8 byte;

	border_begin(&self->border, ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
		const struct arc *arc = &arcs[i];
		int fd = go_to(self->dev, arc), none;

		border_fail(0, arc->op, ENOTRECOVERABLE, 1);
		EXPECT_EQ(mig_set(self->dev, arc->to, &none), -ENOTRECOVERABLE)
			TH_LOG("arc %u, %s", i, arc->op);
		EXPECT_EQ(mig_get(self->dev), ERROR) TH_LOG("arc %u, %s", i, arc->op);
		for (u32 state = STOP; state < STATES; state++)
			EXPECT_EQ(mig_set(self->dev, state, &none), -EIO);
		if (fd >= 0) {
			EXPECT_EQ(read(fd, &byte, 1), -1);
			EXPECT_EQ(errno, ENODEV);
		}
		leave(self->dev, fd);
		EXPECT_EQ(border_running(0), RUNS);
	}
}

TEST_F(border_ops, device_that_does_not_start_after_a_reset_is_in_error)
{
	border_begin(&self->border, ALL);
	border_fail(0, "thaw", ENOTRECOVERABLE, 1);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), ERROR);
	border_fail(0, "resume", ENOTRECOVERABLE, 1);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), ERROR);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);

	/* It runs already, and says so: no error */
	border_fail(0, "thaw", EALREADY, 1);
	border_fail(0, "resume", EALREADY, 1);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

/* Several arcs in one SET_STATE */
TEST_F(border_ops, state_is_that_of_the_last_arc_that_worked)
{
	border_begin(&self->border, ALL);
	border_fail(0, "freeze", EXDEV, 1);
	EXPECT_EQ(mig_set(self->dev, STOP_COPY, &(int){ -1 }), -EXDEV);
	EXPECT_EQ(mig_get(self->dev), RUNNING_P2P);
	border_fail(0, "save_final", EXDEV, 1);
	EXPECT_EQ(mig_set(self->dev, STOP_COPY, &(int){ -1 }), -EXDEV);
	EXPECT_EQ(mig_get(self->dev), STOP);
	EXPECT_EQ(border_calls(0, "save_stop"), 1);
}

TEST_F(border_ops, vf_that_was_frozen_for_a_final_state_that_failed_is_thawed)
{
	int fd;

	border_begin(&self->border, ALL);
	fd = precopy_begin(self->dev, PRE_COPY_P2P);
	border_tell(0, "calls", "0");
	border_fail(0, "save_final", EXDEV, 1);
	EXPECT_EQ(mig_set(self->dev, STOP_COPY, NULL), -EXDEV);
	EXPECT_EQ(border_calls(0, "freeze"), 1);
	EXPECT_EQ(border_calls(0, "thaw"), 1);
	EXPECT_EQ(border_running(0), QUIESCED);

	/* If that fails too, nobody knows */
	border_fail(0, "save_final", EXDEV, 1);
	border_fail(0, "thaw", EXDEV, 1);
	EXPECT_EQ(mig_set(self->dev, STOP_COPY, NULL), -ENOTRECOVERABLE);
	EXPECT_EQ(mig_get(self->dev), ERROR);
	close(fd);
}

TEST_F(border_ops, save_that_does_not_stop_stays_on)
{
	struct blob first = {}, rest = {};
	int fd;

	border_begin(&self->border, ALL);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	border_fail(0, "save_stop", EXDEV, 1);
	EXPECT_EQ(mig_set(self->dev, STOP, NULL), -EXDEV);
	EXPECT_EQ(mig_get(self->dev), STOP_COPY);
	EXPECT_EQ(mig_read(fd, &first, 100), 0);
	EXPECT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(mig_read(fd, &rest, 100), -ENODEV);
	close(fd);
	mig_save(self->dev, &rest);
	EXPECT_TRUE(blob_equal(&first, &rest));
	blob_free(&first);
	blob_free(&rest);
}

static bool needs_module(const char *user, const char *needed)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/module/%s/holders/%s", needed, user);
	return file_exists(path);
}

TEST_F(border_ops, pf_driver_needs_no_vfio)
{
	static const char * const vfio[] = { "vfio", "vfio_pci_core", "vfmig_vfio_pci" };
	static const char * const users[] = { BORDER_MODULE, "vfmig_registry", "vfmig_fabric" };

	EXPECT_TRUE(needs_module(BORDER_MODULE, "vfmig_registry") ||
		    !file_exists("/sys/module/vfmig_registry/holders"));
	for (unsigned int i = 0; i < ARRAY_SIZE(users); i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(vfio); j++) {
			EXPECT_FALSE(needs_module(users[i], vfio[j]))
				TH_LOG("%s needs %s", users[i], vfio[j]);
		}
	}
}

TEST_F(border_ops, variant_driver_may_come_later)
{
	if (!file_exists("/sys/module/" VF_DRIVER "/initstate"))
		SKIP(return, VF_DRIVER " is built into the kernel");
	ASSERT_EQ(border_unload(), 0);
	ASSERT_EQ(kmod_unload(VF_DRIVER), 0);
	ASSERT_EQ(kmod_load_test(BORDER_MODULE, ""), NULL);
	EXPECT_FALSE(file_exists("/sys/module/" VF_DRIVER));

	/* Not by border_register(), which wants the VFs to be bound */
	ASSERT_EQ(file_write("/sys/kernel/debug/" BORDER_MODULE "/register", ALL), 0);
	ASSERT_EQ(pf_set_numvfs(self->border.pf, BORDER_VFS), 0);
	EXPECT_FALSE(pci_has_driver(self->border.vf[0], VF_DRIVER));
	ASSERT_EQ(system("modprobe " VF_DRIVER), 0);
	EXPECT_TRUE(pci_has_driver(self->border.vf[0], VF_DRIVER));
	border_open(&self->border, 2);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	border_close(&self->border);
	ASSERT_EQ(border_unload(), 0);
}

TEST_HARNESS_MAIN
