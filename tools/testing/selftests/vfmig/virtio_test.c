// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio transport of a virtio-net VF, as VIRTIO 1.2 has it: capabilities, registers,
 * negotiation, changes of the configuration.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stddef.h>
#include <string.h>

#include "net_rig.h"

#include "harness.h"

#define VIRTIO_VENDOR	0x1af4
#define PAIRS		2
#define QUEUES		(2 * PAIRS + 1)

#define TRANSPORT \
	(VIRTIO_BASIC | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
	 FEATURE(VIRTIO_RING_F_EVENT_IDX) | FEATURE(VIRTIO_F_RING_PACKED) | \
	 FEATURE(VIRTIO_F_ORDER_PLATFORM) | FEATURE(VIRTIO_F_RING_RESET))

#define ISR_CONFIG	2

FIXTURE(virtio)
{
	struct net_rig rig;
	struct vfio_dev *dev;
	struct vnet net;
	struct virtio *vio;
};

FIXTURE_SETUP(virtio)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	self->vio = &self->net.vio;
	virtio_init(self->vio, self->dev, &self->rig.mem);
}

FIXTURE_TEARDOWN(virtio)
{
	net_rig_close(&self->rig);
}

TEST_F(virtio, ids_are_those_of_a_modern_network_device)
{
	struct vfio_dev *dev = self->dev;

	EXPECT_EQ(file_u64(pci_path(dev->bdf, "vendor"), 0), VIRTIO_VENDOR);
	EXPECT_EQ(file_u64(pci_path(dev->bdf, "device"), 0), 0x1041);
	EXPECT_EQ(file_u64(pci_path(dev->bdf, "class"), 0), 0x020000);
	EXPECT_GE(file_u64(pci_path(dev->bdf, "revision"), 0), 1);
	/* Of a VF, config space has no IDs; VFIO fills them in */
	EXPECT_EQ(cfg_read(dev, PCI_VENDOR_ID, 2), VIRTIO_VENDOR);
	EXPECT_EQ(cfg_read(dev, PCI_DEVICE_ID, 2), 0x1041);
	EXPECT_GE(cfg_read(dev, PCI_SUBSYSTEM_ID, 2), 0x40);
}

TEST_F(virtio, no_host_driver_takes_pf_or_vf)
{
	EXPECT_TRUE(pci_has_driver(self->rig.pf, SIM_MODULE));
	EXPECT_TRUE(pci_has_driver(self->dev->bdf, VF_DRIVER));
}

TEST_F(virtio, capabilities_say_where_the_registers_are)
{
	const struct virtio_regs *regs[] = {
		&self->vio->common, &self->vio->notify, &self->vio->isr, &self->vio->config,
	};
	unsigned int msix = cfg_cap(self->dev, PCI_CAP_ID_MSIX);
	u32 table = cfg_read(self->dev, msix + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_OFFSET;

	EXPECT_EQ(self->vio->common.offset % 4, 0);
	EXPECT_GE(self->vio->common.length, sizeof(struct virtio_pci_modern_common_cfg));
	EXPECT_EQ(self->vio->notify.offset % 2, 0);
	EXPECT_GE(self->vio->notify.length, (QUEUES - 1) * self->vio->notify_step + 2);
	EXPECT_TRUE(self->vio->notify_step == 0 || self->vio->notify_step % 2 == 0);
	EXPECT_GE(self->vio->isr.length, 1);
	EXPECT_EQ(self->vio->config.offset % 4, 0);
	EXPECT_GE(self->vio->config.length, offsetof(struct virtio_net_config, duplex) + 1);
	EXPECT_NE(self->vio->access_cap, 0);

	/* Each is in a page of its own, and none is where the vectors are */
	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		u64 end = regs[i]->offset + regs[i]->length;

		EXPECT_TRUE(end <= table || regs[i]->offset > table);
		for (unsigned int j = 0; j < i; j++)
			EXPECT_NE(regs[i]->offset / PAGE, regs[j]->offset / PAGE);
	}
}

static void expect_power_on(struct __test_metadata *_metadata, struct virtio *vio)
{
	EXPECT_EQ(virtio_status(vio), 0);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_SELECT, 2), 0);
	EXPECT_EQ(virtio_written(vio), 0);
	for (u16 i = 0; i < QUEUES; i++) {
		u32 size = queue_read(vio, i, VIRTIO_PCI_COMMON_Q_SIZE);

		EXPECT_TRUE(size && !(size & (size - 1)));
		EXPECT_EQ(queue_read(vio, i, VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
		EXPECT_EQ(queue_read(vio, i, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
		EXPECT_EQ(queue_read(vio, i, VIRTIO_PCI_COMMON_Q_RESET), 0);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0);
	}
	common_write(vio, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
}

TEST_F(virtio, registers_after_power_on)
{
	expect_power_on(_metadata, self->vio);
}

TEST_F(virtio, queues_that_do_not_exist_have_size_0)
{
	static const u16 queues[] = { QUEUES, QUEUES + 1, 0x8000, 0xffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(queues); i++) {
		EXPECT_EQ(queue_read(self->vio, queues[i], VIRTIO_PCI_COMMON_Q_SIZE), 0);
		queue_write(self->vio, queues[i], VIRTIO_PCI_COMMON_Q_ENABLE, 1);
		EXPECT_EQ(queue_read(self->vio, queues[i], VIRTIO_PCI_COMMON_Q_ENABLE), 0);
		queue_write(self->vio, queues[i], VIRTIO_PCI_COMMON_Q_MSIX, 1);
		queue_write64(self->vio, queues[i], VIRTIO_PCI_COMMON_Q_DESCLO, ~0ULL);
	}
	for (u16 i = 0; i < QUEUES; i++)
		EXPECT_NE(queue_read(self->vio, i, VIRTIO_PCI_COMMON_Q_SIZE), 0);
}

TEST_F(virtio, registers_keep_what_is_written)
{
	struct virtio *vio = self->vio;

	ASSERT_TRUE(virtio_negotiate(vio, TRANSPORT));
	for (u16 i = 0; i < QUEUES; i++) {
		queue_write64(vio, i, VIRTIO_PCI_COMMON_Q_DESCLO, 0x123456789a000000 + i * PAGE);
		queue_write64(vio, i, VIRTIO_PCI_COMMON_Q_AVAILLO, 0x23456789ab000000 + i * PAGE);
		queue_write64(vio, i, VIRTIO_PCI_COMMON_Q_USEDLO, 0x3456789abc000000 + i * PAGE);
		queue_write(vio, i, VIRTIO_PCI_COMMON_Q_SIZE, 16 + i);
		queue_write(vio, i, VIRTIO_PCI_COMMON_Q_MSIX, i + 2);
	}
	common_write(vio, VIRTIO_PCI_COMMON_MSIX, 1, 2);
	for (u16 i = 0; i < QUEUES; i++) {
		EXPECT_EQ(queue_read(vio, i, VIRTIO_PCI_COMMON_Q_SIZE), 16 + i);
		EXPECT_EQ(queue_read(vio, i, VIRTIO_PCI_COMMON_Q_MSIX), i + 2);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0x9a000000 + i * PAGE);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x12345678);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_AVAILHI, 4), 0x23456789);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_USEDHI, 4), 0x3456789a);
	}
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_MSIX, 2), 1);
	EXPECT_EQ(virtio_written(vio), TRANSPORT);

	ASSERT_EQ(virtio_reset(vio), 0);
	expect_power_on(_metadata, vio);
}

TEST_F(virtio, read_only_registers_are_read_only)
{
	static const struct {
		unsigned int offset, size;
	} regs[] = {
		{ VIRTIO_PCI_COMMON_DF, 4 },
		{ VIRTIO_PCI_COMMON_NUMQ, 2 },
		{ VIRTIO_PCI_COMMON_CFGGENERATION, 1 },
		{ VIRTIO_PCI_COMMON_Q_NOFF, 2 },
	};
	struct virtio *vio = self->vio;
	u8 mac[2][ETH_ALEN];

	for (unsigned int i = 0; i < ARRAY_SIZE(regs); i++) {
		u32 was = common_read(vio, regs[i].offset, regs[i].size);

		common_write(vio, regs[i].offset, ~was, regs[i].size);
		EXPECT_EQ(common_read(vio, regs[i].offset, regs[i].size), was);
	}
	/* The MAC address can be written by a legacy driver only (VIRTIO 5.1.4.1) */
	virtio_config(vio, 0, mac[0], ETH_ALEN);
	for (unsigned int i = 0; i < ETH_ALEN; i++)
		bar_write(self->dev, vio->config.offset + i, 0x42, 1);
	virtio_config(vio, 0, mac[1], ETH_ALEN);
	EXPECT_EQ(memcmp(mac[0], mac[1], ETH_ALEN), 0);
}

/* Of any width, at any place, in no order: the device survives, and so does the host */
TEST_F(virtio, wild_accesses_do_no_harm)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	u64 seed = 1;

	for (unsigned int i = 0; i < 4000; i++) {
		unsigned int size = sizes[next_random(&seed) % ARRAY_SIZE(sizes)];
		u64 at = next_random(&seed) % (self->vio->common.offset + 4 * PAGE) & -size;

		if (i % 4)
			at = self->vio->common.offset + (at & 63 & -size);
		if (i % 2)
			bar_write(self->dev, at, next_random(&seed), size);
		else
			bar_read(self->dev, at, size);
	}
	ASSERT_EQ(vfio_reset(self->dev), 0);
	virtio_init(self->vio, self->dev, &self->rig.mem);
	expect_power_on(_metadata, self->vio);
}

TEST_F(virtio, features_that_are_offered)
{
	struct virtio *vio = self->vio;
	u64 offered = virtio_offered(vio);

	EXPECT_EQ(offered & TRANSPORT, TRANSPORT);
	EXPECT_TRUE(offered & FEATURE(VIRTIO_NET_F_MAC));
	EXPECT_TRUE(offered & FEATURE(VIRTIO_NET_F_MQ));
	/* Legacy, or bits that no one has */
	EXPECT_FALSE(offered & FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY));
	EXPECT_FALSE(offered & FEATURE(VIRTIO_F_ANY_LAYOUT));
	for (u32 select = 2; select; select <<= 1) {
		common_write(vio, VIRTIO_PCI_COMMON_DFSELECT, select, 4);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_DF, 4), 0);
		common_write(vio, VIRTIO_PCI_COMMON_GFSELECT, select, 4);
		common_write(vio, VIRTIO_PCI_COMMON_GF, ~0U, 4);
		EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_GF, 4), 0);
	}
}

TEST_F(virtio, features_that_do_not_fit_are_refused)
{
	static const u64 csum = FEATURE(VIRTIO_NET_F_CSUM);
	static const u64 guest_csum = FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	static const u64 ctrl = FEATURE(VIRTIO_NET_F_CTRL_VQ);
	static const struct {
		u64 has, lacks;
	} sets[] = {
		{ FEATURE(VIRTIO_NET_F_HOST_TSO4), csum },
		{ FEATURE(VIRTIO_NET_F_HOST_TSO6), csum },
		{ FEATURE(VIRTIO_NET_F_GUEST_TSO4), guest_csum },
		{ FEATURE(VIRTIO_NET_F_GUEST_TSO6), guest_csum },
		{ FEATURE(VIRTIO_NET_F_HOST_ECN) | csum, FEATURE(VIRTIO_NET_F_HOST_TSO4) },
		{ FEATURE(VIRTIO_NET_F_GUEST_ECN) | guest_csum, FEATURE(VIRTIO_NET_F_GUEST_TSO4) },
		{ FEATURE(VIRTIO_NET_F_CTRL_RX), ctrl },
		{ FEATURE(VIRTIO_NET_F_CTRL_VLAN), ctrl },
		{ FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE), ctrl },
		{ FEATURE(VIRTIO_NET_F_MQ), ctrl },
		{ FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR), ctrl },
		{ FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS), ctrl },
	};
	u64 offered = virtio_offered(self->vio);

	EXPECT_FALSE(virtio_negotiate(self->vio, TRANSPORT & ~FEATURE(VIRTIO_F_VERSION_1)));
	EXPECT_FALSE(virtio_negotiate(self->vio, 0));
	for (unsigned int bit = 0; bit < 64; bit++) {
		if (offered & FEATURE(bit))
			continue;
		EXPECT_FALSE(virtio_negotiate(self->vio, TRANSPORT | FEATURE(bit)))
			TH_LOG("bit %u", bit);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(sets); i++) {
		EXPECT_FALSE(virtio_negotiate(self->vio, TRANSPORT | sets[i].has))
			TH_LOG("set %u", i);
		EXPECT_TRUE(virtio_negotiate(self->vio, TRANSPORT | sets[i].has | sets[i].lacks))
			TH_LOG("set %u with what it needs", i);
	}
	EXPECT_TRUE(virtio_negotiate(self->vio, VIRTIO_BASIC));
	EXPECT_TRUE(virtio_negotiate(self->vio, offered));
}

TEST_F(virtio, features_are_final_after_features_ok)
{
	ASSERT_TRUE(virtio_negotiate(self->vio, TRANSPORT));
	virtio_write_features(self->vio, virtio_offered(self->vio));
	EXPECT_EQ(virtio_written(self->vio), TRANSPORT);
}

TEST_F(virtio, status_bits_are_set_until_a_reset)
{
	struct virtio *vio = self->vio;

	/* No DRIVER_OK without FEATURES_OK */
	virtio_set_status(vio, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	virtio_driver_ok(vio);
	EXPECT_EQ(virtio_status(vio), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	/* The driver can't ask for a reset in the name of the device */
	virtio_set_status(vio, VIRTIO_CONFIG_S_NEEDS_RESET);
	EXPECT_FALSE(virtio_needs_reset(vio));

	ASSERT_TRUE(virtio_negotiate(vio, TRANSPORT));
	virtio_driver_ok(vio);
	EXPECT_EQ(virtio_status(vio), 15);
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE, 1);
	EXPECT_EQ(virtio_status(vio), 15);
	virtio_set_status(vio, VIRTIO_CONFIG_S_FAILED);
	EXPECT_TRUE(virtio_status(vio) & VIRTIO_CONFIG_S_FAILED);
	ASSERT_EQ(virtio_reset(vio), 0);
	expect_power_on(_metadata, vio);
}

TEST_F(virtio, vectors_that_do_not_exist_are_none)
{
	struct virtio *vio = self->vio;
	struct vfio_irq_info info;

	vfio_irq_info(self->dev, VFIO_PCI_MSIX_IRQ_INDEX, &info);
	EXPECT_GE(info.count, QUEUES + 1);
	common_write(vio, VIRTIO_PCI_COMMON_MSIX, info.count - 1, 2);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_MSIX, 2), info.count - 1);
	common_write(vio, VIRTIO_PCI_COMMON_MSIX, info.count, 2);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	queue_write(vio, 1, VIRTIO_PCI_COMMON_Q_MSIX, info.count);
	EXPECT_EQ(queue_read(vio, 1, VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
	queue_write(vio, 1, VIRTIO_PCI_COMMON_Q_MSIX, 0);
	EXPECT_EQ(queue_read(vio, 1, VIRTIO_PCI_COMMON_Q_MSIX), 0);
}

TEST_F(virtio, queue_sizes_that_are_none_are_not_enabled)
{
	struct virtio *vio = self->vio;
	u32 most = queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_SIZE);
	u16 split[] = { 0, 3, most + 1, most * 2, 0xffff };
	u16 packed[] = { 0, most + 1, 0x8000, 0xffff };

	ASSERT_TRUE(virtio_negotiate(vio, VIRTIO_BASIC));
	for (unsigned int i = 0; i < ARRAY_SIZE(split); i++) {
		queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_SIZE, split[i]);
		queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
		EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE), 0)
			TH_LOG("size %u", split[i]);
	}
	ASSERT_TRUE(virtio_negotiate(vio, VIRTIO_BASIC | FEATURE(VIRTIO_F_RING_PACKED)));
	for (unsigned int i = 0; i < ARRAY_SIZE(packed); i++) {
		queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_SIZE, packed[i]);
		queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
		EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE), 0)
			TH_LOG("size %u", packed[i]);
	}
	queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_SIZE, 3);
	queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
}

TEST_F(virtio, an_enabled_queue_stays_as_it_is)
{
	struct virtio *vio = self->vio;

	ASSERT_TRUE(virtio_negotiate(vio, VIRTIO_BASIC));
	virtq_setup(vio, &self->net.rx[0], 0, 64, VIRTIO_MSI_NO_VECTOR);
	queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_SIZE, 32);
	queue_write64(vio, 0, VIRTIO_PCI_COMMON_Q_DESCLO, 0);
	queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE, 0);
	EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_SIZE), 64);
	EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	EXPECT_NE(common_read(vio, VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0);
}

/* Only 1 resets a queue, and only one that is enabled */
TEST_F(virtio, queue_that_is_not_enabled_is_not_reset)
{
	static const u16 values[] = { 0, 2, 0x8001, 0xffff };
	struct virtio *vio = self->vio;

	ASSERT_TRUE(virtio_negotiate(vio, VIRTIO_BASIC | FEATURE(VIRTIO_F_RING_RESET)));
	queue_write(vio, 1, VIRTIO_PCI_COMMON_Q_RESET, 1);
	EXPECT_EQ(queue_read(vio, 1, VIRTIO_PCI_COMMON_Q_RESET), 0);
	virtq_setup(vio, &self->net.rx[0], 0, 64, VIRTIO_MSI_NO_VECTOR);
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_RESET, values[i]);
		EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_RESET), 0);
		EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
		queue_write(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE, values[i]);
		EXPECT_EQ(queue_read(vio, 0, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	}
	/* A queue is enabled with 1 alone too */
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		queue_write(vio, 2, VIRTIO_PCI_COMMON_Q_ENABLE, values[i]);
		EXPECT_EQ(queue_read(vio, 2, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	}
}

/* A stopped device does not change, so a read of its ISR leaves it to the one who runs it */
TEST_F(virtio, isr_of_a_stopped_device_stays)
{
	struct virtio *vio = self->vio;
	u64 isr = vio->isr.offset;

	ASSERT_TRUE(virtio_negotiate(vio, virtio_offered(vio) & VNET_ALL));
	virtio_driver_ok(vio);
	ASSERT_TRUE(port_wait_carrier(&self->rig.port[0]));
	common_write(vio, VIRTIO_PCI_COMMON_MSIX, VIRTIO_MSI_NO_VECTOR, 2);
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	bar_read(self->dev, isr, 1);
	ASSERT_EQ(vf_set_link(self->rig.pf, 0, IFLA_VF_LINK_STATE_DISABLE), 0);
	ASSERT_TRUE(wait_until(!port_carrier(&self->rig.port[0])));
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(bar_read(self->dev, isr, 1), ISR_CONFIG);
	EXPECT_EQ(bar_read(self->dev, isr, 1), ISR_CONFIG);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(bar_read(self->dev, isr, 1), ISR_CONFIG);
	EXPECT_EQ(bar_read(self->dev, isr, 1), 0);
	ASSERT_EQ(vf_set_link(self->rig.pf, 0, IFLA_VF_LINK_STATE_AUTO), 0);
}

TEST_F(virtio, generation_changes_with_the_configuration)
{
	struct virtio *vio = self->vio;
	struct port *port = &self->rig.port[0];
	u8 first, second;

	net_rig_start(&self->rig, 0, &self->net, VNET_ALL, 1);
	EXPECT_TRUE(wait_until(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP));
	first = common_read(vio, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_CFGGENERATION, 1), first);
	port_set_up(port, false);
	EXPECT_TRUE(wait_until(!(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP)));
	second = common_read(vio, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
	EXPECT_NE(second, first);
	port_set_up(port, true);
	EXPECT_TRUE(wait_until(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP));
	EXPECT_NE(common_read(vio, VIRTIO_PCI_COMMON_CFGGENERATION, 1), second);
}

TEST_F(virtio, configuration_changes_interrupt)
{
	struct net_rig *rig = &self->rig;

	net_rig_start(rig, 0, &self->net, VNET_ALL, 1);
	EXPECT_TRUE(wait_until(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP));
	net_rig_settle(rig, 0);
	bar_read(self->dev, self->vio->isr.offset, 1);
	port_set_up(&rig->port[0], false);
	EXPECT_TRUE(event_wait(rig->irq[0][0]));
	EXPECT_EQ(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP, 0);
	EXPECT_TRUE(bar_read(self->dev, self->vio->isr.offset, 1) & ISR_CONFIG);
	/* The read has cleared it */
	EXPECT_EQ(bar_read(self->dev, self->vio->isr.offset, 1), 0);
	port_set_up(&rig->port[0], true);
	EXPECT_TRUE(event_wait(rig->irq[0][0]));
}

TEST_F(virtio, link_as_the_administrator_sets_it)
{
	struct net_rig *rig = &self->rig;

	net_rig_start(rig, 0, &self->net, VNET_ALL, 1);
	ASSERT_EQ(vf_set_link(rig->pf, 0, IFLA_VF_LINK_STATE_DISABLE), 0);
	EXPECT_TRUE(wait_until(!(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP)));
	port_set_up(&rig->port[0], false);
	ASSERT_EQ(vf_set_link(rig->pf, 0, IFLA_VF_LINK_STATE_ENABLE), 0);
	EXPECT_TRUE(wait_until(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP));
	ASSERT_EQ(vf_set_link(rig->pf, 0, IFLA_VF_LINK_STATE_AUTO), 0);
	EXPECT_TRUE(wait_until(!(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP)));
	port_set_up(&rig->port[0], true);
	EXPECT_TRUE(wait_until(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP));
}

TEST_F(virtio, registers_through_config_space)
{
	struct virtio *vio = self->vio;
	u32 common = vio->common.offset;

	EXPECT_EQ(virtio_cap_read(vio, 0, common + VIRTIO_PCI_COMMON_NUMQ, 2), QUEUES);
	virtio_cap_write(vio, 0, common + VIRTIO_PCI_COMMON_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE, 1);
	EXPECT_EQ(virtio_status(vio), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_cap_write(vio, 0, common + VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	EXPECT_EQ(virtio_cap_read(vio, 0, common + VIRTIO_PCI_COMMON_DF, 4),
		  virtio_offered(vio) >> 32);
	EXPECT_EQ(virtio_cap_read(vio, 0, common + VIRTIO_PCI_COMMON_STATUS, 1),
		  VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_cap_write(vio, 0, common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
	EXPECT_TRUE(wait_until(!virtio_cap_read(vio, 0, common + VIRTIO_PCI_COMMON_STATUS, 1)));
}

TEST_F(virtio, accesses_through_config_space_that_do_not_fit)
{
	struct virtio *vio = self->vio;
	u32 status = vio->common.offset + VIRTIO_PCI_COMMON_STATUS;
	static const struct {
		u8 bar;
		u32 offset, size;
	} wrong[] = {
		{ 1, 0, 1 }, { 5, 0, 4 }, { 0xff, 0, 1 },
		{ 0, 0, 0 }, { 0, 0, 3 }, { 0, 0, 8 }, { 0, 0, ~0U },
		{ 0, 0x7fffffff, 1 }, { 0, ~0U, 1 }, { 0, ~3U, 4 }, { 0, 1, 4 }, { 0, 1, 2 },
	};

	virtio_set_status(vio, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		u32 offset = wrong[i].offset < PAGE ? status + wrong[i].offset : wrong[i].offset;

		virtio_cap_write(vio, wrong[i].bar, offset, 0, wrong[i].size);
		EXPECT_EQ(virtio_cap_read(vio, wrong[i].bar, offset, wrong[i].size) &
			  VIRTIO_CONFIG_S_ACKNOWLEDGE, 0) TH_LOG("access %u", i);
	}
	/* None of them has reset the device */
	EXPECT_EQ(virtio_status(vio), VIRTIO_CONFIG_S_ACKNOWLEDGE);
}

TEST_HARNESS_MAIN
