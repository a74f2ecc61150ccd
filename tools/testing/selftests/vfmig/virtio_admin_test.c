// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtio-net PF in the hands of an administrator: what ip and devlink set of a VF, what they
 * show of it, and the words of what they refuse.
 */
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"
#include "net_rig.h"
#include "tool.h"

#include "harness.h"

#define PAIRS	1
#define FRAMES	7

FIXTURE(admin)
{
	struct net_rig rig;
	struct vnet net;
	struct vnet_frame *in;		/* that the guest gets */
	struct port_frame *out;		/* that the host gets */
	u8 *frame;
	char pf[IFNAMSIZ];		/* the PF's netdev */
};

static const char *tools_missing(void)
{
	if (tool("ip -Version"))
		return "there is no ip (iproute2)";
	return file_exists("/usr/bin/python3") ? NULL : "no python3, which checks JSON";
}

FIXTURE_SETUP(admin)
{
	const char *why = tools_missing() ?: net_rig_open(&self->rig, IOMMU_TYPE1, 2, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	port_netdev(self->rig.pf, self->pf);
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
}

FIXTURE_TEARDOWN(admin)
{
	if (self->frame)
		EXPECT_EQ(net_rig_restore(&self->rig, 0), 0);
	net_rig_close(&self->rig);
}

#define EXPECT_JSON(expression, ...)					\
	do {								\
		bool is = tool_json(expression, __VA_ARGS__);		\
									\
		EXPECT_TRUE(is);					\
		if (!is)						\
			note("%s", tool_said());			\
	} while (0)

/* The JSON is an array with the PF's netdev */
#define VF(n)	"d[0][\"vfinfo_list\"][" #n "]"
/* A newer ip has no prefix */
#define SENT(n, what) \
	"sum(v for k, v in " VF(n) "[\"stats\"][\"tx\"].items() if k.endswith(\"" what "\"))"

TEST_F(admin, settings_of_a_vf_are_shown)
{
	EXPECT_JSON(VF(1) "[\"spoofchk\"] and not " VF(1) "[\"trust\"] and "
		    VF(1) "[\"link_state\"] == \"auto\" and "
		    VF(1) "[\"vlan_list\"] == [{}]", "ip -j link show %s", self->pf);
	ASSERT_EQ(tool("ip link set %s vf 0 mac 02:00:00:00:00:07 vlan 100 qos 3 "
		       "max_tx_rate 8 spoofchk off trust on state disable", self->pf), 0);
	EXPECT_JSON(VF(0) "[\"address\"] == \"02:00:00:00:00:07\" and "
		    VF(0) "[\"vlan_list\"] == [{\"vlan\": 100, \"qos\": 3}] and "
		    VF(0) "[\"rate\"] == {\"max_tx\": 8, \"min_tx\": 0} and "
		    "not " VF(0) "[\"spoofchk\"] and " VF(0) "[\"trust\"] and "
		    VF(0) "[\"link_state\"] == \"disable\"", "ip -j link show %s", self->pf);
	/* The other VF's are as they were */
	EXPECT_JSON(VF(1) "[\"spoofchk\"] and not " VF(1) "[\"trust\"] and "
		    VF(1) "[\"link_state\"] == \"auto\"", "ip -j link show %s", self->pf);
}

TEST_F(admin, statistics_of_a_vf_are_shown)
{
	struct net_rig *rig = &self->rig;

	net_rig_start(rig, 0, &self->net, VNET_ALL, PAIRS);
	for (u32 seq = 0; seq < FRAMES; seq++) {
		vnet_send(&self->net, 0, self->frame,
			  frame_make(self->frame, mac_broadcast, self->net.mac, seq, 100));
		ASSERT_TRUE(port_expect(&rig->port[0], self->out, seq));
	}
	port_send(&rig->port[0], self->frame,
		  frame_make(self->frame, self->net.mac, mac_other, 1, 200));
	ASSERT_TRUE(vnet_expect(&self->net, self->in, 1));
	/* From the VF's side, since it was made */
	EXPECT_JSON(SENT(0, "packets") " >= 7 and " SENT(0, "bytes") " >= 700 and "
		    VF(0) "[\"stats\"][\"rx\"][\"packets\"] >= 1 and "
		    VF(0) "[\"stats\"][\"rx\"][\"bytes\"] >= 200 and "
		    SENT(1, "packets") " == 0", "ip -j -s link show %s", self->pf);
}

TEST_F(admin, what_is_refused_has_a_reason_in_the_log)
{
	static const struct {
		const char *setting;
		const char *reason;
	} refused[] = {
		{ "vf 0 min_tx_rate 5", "VF 0: no minimal rate can be promised" },
		{ "vf 0 max_tx_rate 25001", "VF 0: rate 25001 Mbit/s is over the speed" },
		{ "vf 0 mac 01:00:00:00:00:01", "is no MAC address of a station" },
		{ "vf 0 vlan 4095", "VF 0: VLAN 4095 or priority 0 is out of range" },
		{ "vf 63 trust on", "there is no VF 63" },
	};
	int kmsg = kmsg_open();

	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		EXPECT_NE(tool("ip link set %s %s", self->pf, refused[i].setting), 0);
		EXPECT_TRUE(kmsg_says(kmsg, refused[i].reason));
	}
	EXPECT_JSON(VF(0) "[\"rate\"] == {\"max_tx\": 0, \"min_tx\": 0} and "
		    VF(0) "[\"vlan_list\"] == [{}]", "ip -j link show %s", self->pf);
	close(kmsg);
}

static const char *devlink_missing(const char *pf)
{
	return tool("devlink dev show pci/%s", pf) ? "this kernel or machine has no devlink" : NULL;
}

/* The JSON is an object with one port */
#define PORT	"(port := list(d[\"port\"].values())[0])"

TEST_F(admin, ports_of_devlink)
{
	const char *pf = self->rig.pf, *why = devlink_missing(pf);

	if (why)
		SKIP(return, "%s", why);
	EXPECT_JSON(PORT "[\"flavour\"] == \"physical\"", "devlink -j port show pci/%s/0", pf);
	EXPECT_JSON(PORT "[\"flavour\"] == \"pcivf\" and port[\"vfnum\"] == 1 and "
		    "not port[\"external\"]", "devlink -j port show pci/%s/2", pf);
	EXPECT_EQ(tool("devlink port show %s", self->pf), 0);
	EXPECT_EQ(tool("devlink port show %s", self->rig.port[1].name), 0);
}

TEST_F(admin, address_by_devlink_is_that_of_the_vf)
{
	static const u8 mac[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 0x09 };
	const char *pf = self->rig.pf, *why = devlink_missing(pf);

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(tool("devlink port function set pci/%s/1 hw_addr 02:00:00:00:00:09", pf), 0);
	EXPECT_JSON(PORT "[\"function\"][\"hw_addr\"] == \"02:00:00:00:00:09\"",
		    "devlink -j port show pci/%s/1", pf);
	EXPECT_JSON(VF(0) "[\"address\"] == \"02:00:00:00:00:09\"", "ip -j link show %s", self->pf);
	net_rig_start(&self->rig, 0, &self->net, VNET_ALL, PAIRS);
	EXPECT_EQ(memcmp(self->net.mac, mac, ETH_ALEN), 0);
}

/* The reason is in the answer */
TEST_F(admin, what_devlink_refuses_has_a_reason)
{
	const char *pf = self->rig.pf, *why = devlink_missing(pf);

	if (why)
		SKIP(return, "%s", why);
	EXPECT_NE(tool("devlink port function set pci/%s/1 hw_addr 01:00:00:00:00:01", pf), 0);
	EXPECT_TRUE(strstr(tool_said(), "address"));
	EXPECT_EQ(tool("devlink dev eswitch set pci/%s mode switchdev", pf), 0);
	EXPECT_NE(tool("devlink dev eswitch set pci/%s mode legacy", pf), 0);
	EXPECT_TRUE(strstr(tool_said(), "the mode is always switchdev"));
	EXPECT_JSON("list(d[\"dev\"].values())[0][\"mode\"] == \"switchdev\"",
		    "devlink -j dev eswitch show pci/%s", pf);
}

TEST_HARNESS_MAIN
