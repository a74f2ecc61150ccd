/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's end of a virtio-net VF's port: its representor, and a packet socket on it; and
 * what the administrator sets through the PF's netdev.
 */
#ifndef VFMIG_TEST_PORT_H
#define VFMIG_TEST_PORT_H

#include <linux/if_link.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/types.h>

#include "frame.h"
#include "pf.h"

struct port {
	char name[IFNAMSIZ];
	int fd;		/* a packet socket that does not block, or -1 */
};

struct port_frame {
	struct virtio_net_hdr header;
	bool tagged;
	u16 vid;	/* of a VLAN tag, which is not in @data */
	u8 priority;	/* of the same */
	u16 protocol;	/* of the same */
	size_t len;
	u8 data[FRAME_MAX];
};

/*
 * Find the representor of VF @vf, set it up, and open the socket.  The host sends no frames of
 * its own through it.  Returns NULL, or why the test must be skipped.
 */
const char *port_open(struct port *port, const char *pf, unsigned int vf);
void port_close(struct port *port);
void port_set_up(struct port *port, bool up);
/* Keep the kernel from sending frames of its own through a netdev that is set up */
void port_no_ipv6(const struct port *port);
void port_set_mtu(struct port *port, unsigned int mtu);
/* Wait until the host can send; false after WAIT_MS */
bool port_wait_carrier(struct port *port);
bool port_carrier(struct port *port);

/* Send a frame; 0, or -errno if the device has no room or no carrier.  @header may be NULL. */
int port_try_send(struct port *port, const struct virtio_net_hdr *header, const void *data,
		  size_t len);
/* The same, and wait for room; fails the test if there is none in time */
void port_send(struct port *port, const void *data, size_t len);
/* Take a frame from the guest; false if there is none */
bool port_recv(struct port *port, struct port_frame *frame);
/* Wait for the frame with this number, passing others by; false after WAIT_MS */
bool port_expect(struct port *port, struct port_frame *frame, s64 seq);
/* Let the host send through this queue of the netdev, or let it choose one by the CPU again */
void port_use_queue(const struct port *port, unsigned int queue, bool use);
/* Drop what was received */
void port_drain(struct port *port);

/*
 * Read @file of a netdev in sysfs, without its newline, of the representor of @vf, or of the PF's
 * own netdev if that is -1; 0 or -errno
 */
int port_attr(const char *pf, int vf, const char *file, char *buf, size_t size);
/* The name of the PF's own netdev; fails the test if there is none */
void port_netdev(const char *pf, char name[IFNAMSIZ]);
/* A command of ethtool, which begins with its number; 0 or -errno */
int port_ethtool(const struct port *port, void *request);
/* A counter of ethtool -S; fails the test if there is none of this name */
u64 port_counter(const struct port *port, const char *name);

/* Settings of a VF; 0 or -errno */
int vf_set_mac(const char *pf, unsigned int vf, const u8 *mac);
int vf_set_trust(const char *pf, unsigned int vf, bool on);
int vf_set_spoofchk(const char *pf, unsigned int vf, bool on);
/* VLAN 0 with priority 0 is none; @protocol is ETH_P_8021Q or ETH_P_8021AD */
int vf_set_vlan(const char *pf, unsigned int vf, u32 vid, u32 priority, u16 protocol);
/* What the guest may send, in Mbit/s; 0 is no limit */
int vf_set_rate(const char *pf, unsigned int vf, u32 mbit);
/* @state is IFLA_VF_LINK_STATE_* */
int vf_set_link(const char *pf, unsigned int vf, u32 state);

#endif /* VFMIG_TEST_PORT_H */
