// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory is refused while a VF appears.  The PCI core adds the VF all the same, but
 * without its IOMMU or its driver_override it must not come into anybody's hands.
 */
#include "fault.h"
#include "pf.h"

#include "harness.h"

FIXTURE(appearing)
{
	char pf[BDF_SIZE];
};

FIXTURE_SETUP(appearing)
{
	const char *why = fault_init() ?: pf_require(&(struct pf_vfs){}, self->pf);

	if (why)
		SKIP(return, "%s", why);
	fault_below_function("vfmig_bus_notify");
}

FIXTURE_TEARDOWN(appearing)
{
	if (!self->pf[0])
		return;
	fault_stop();
	pf_set_numvfs(self->pf, 0);
	pf_vfs_gone();
}

static bool has_driver(const char *bdf)
{
	char name[64];

	return pci_driver(bdf, name, sizeof(name));
}

/* Whatever a user tries, no driver gets it */
static bool stays_without_driver(const char *bdf)
{
	static const char * const drivers[] = { VF_DRIVER, STOCK_DRIVER };

	for (unsigned int i = 0; i < ARRAY_SIZE(drivers); i++) {
		char bind[PATH_SIZE];

		file_write(pci_path(bdf, "driver_override"), drivers[i]);
		file_write("/sys/bus/pci/drivers_probe", bdf);
		snprintf(bind, sizeof(bind), "/sys/bus/pci/drivers/%s/bind", drivers[i]);
		if (!file_write(bind, bdf) || has_driver(bdf))
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(appearing, a_vf_is_whole_or_has_no_driver, 120)
{
	struct sweep sweep = {};
	char bdf[BDF_SIZE];

	while (sweep_next(&sweep)) {
		bool refused;

		sweep_begin(&sweep);
		ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
		refused = sweep_end(&sweep);
		ASSERT_TRUE(pf_vf(self->pf, 0, bdf));
		if (refused) {
			EXPECT_TRUE(stays_without_driver(bdf))
				TH_LOG("round %u", sweep.round);
		} else {
			EXPECT_TRUE(has_driver(bdf));
		}
		ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);
	}
	/* What the IOMMU core wants to know, in two structures, and the override */
	EXPECT_GE(sweep.refused, 3);
}

TEST_HARNESS_MAIN
