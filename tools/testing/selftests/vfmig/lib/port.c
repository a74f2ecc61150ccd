// SPDX-License-Identifier: GPL-2.0-only
/* See port.h */
#include "port.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <unistd.h>

#define SOCKET_BYTES	(4 << 20)

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING	23
#endif

/* Number of the VF whose representor this netdev is, or -1: its port is pfNvfM */
static int vf_of(const char *pf, const char *netdev)
{
	char file[64], name[32];
	unsigned int number, vf;

	snprintf(file, sizeof(file), "net/%.32s/phys_port_name", netdev);
	if (file_read(pci_path(pf, file), name, sizeof(name)) ||
	    sscanf(name, "pf%uvf%u", &number, &vf) != 2)
		return -1;
	return vf;
}

/* The representor of @vf, or the PF's own netdev if that is -1; false if there is none */
static bool find_netdev(const char *pf, int vf, char *name)
{
	struct dirent *de;
	bool found = false;
	DIR *dir;

	dir = opendir(pci_path(pf, "net"));
	if (!dir)
		return false;
	while (!found && (de = readdir(dir))) {
		if (de->d_name[0] == '.' || vf_of(pf, de->d_name) != vf)
			continue;
		snprintf(name, IFNAMSIZ, "%.15s", de->d_name);
		found = true;
	}
	closedir(dir);
	return found;
}

void port_netdev(const char *pf, char name[IFNAMSIZ])
{
	must(find_netdev(pf, -1, name));
}

static void net_ioctl(unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	must(fd >= 0);
	must(!ioctl(fd, request, ifr));
	close(fd);
}

static struct ifreq request_of(const struct port *port)
{
	struct ifreq ifr = {};

	memcpy(ifr.ifr_name, port->name, IFNAMSIZ);
	return ifr;
}

void port_set_up(struct port *port, bool up)
{
	struct ifreq ifr = request_of(port);

	net_ioctl(SIOCGIFFLAGS, &ifr);
	ifr.ifr_flags = up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP;
	net_ioctl(SIOCSIFFLAGS, &ifr);
}

void port_set_mtu(struct port *port, unsigned int mtu)
{
	struct ifreq ifr = request_of(port);

	ifr.ifr_mtu = mtu;
	net_ioctl(SIOCSIFMTU, &ifr);
}

void port_no_ipv6(const struct port *port)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", port->name);
	if (file_exists(path))
		must(!file_write(path, "1"));
}

static void set_option(int fd, int level, int option, int value)
{
	must(!setsockopt(fd, level, option, &value, sizeof(value)));
}

static int open_socket(const struct port *port)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex(port->name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1);
	set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	/* An error shows a frame that the device does not take */
	set_option(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES);
	set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES);
	must(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

/* A mask of all CPUs, in groups of 32 */
static void all_cpus(char *to, size_t size)
{
	unsigned int cpus = get_nprocs_conf(), first = cpus % 32 ?: 32;
	int len = snprintf(to, size, "%x", ~0U >> (32 - first));

	for (cpus -= first; cpus; cpus -= 32)
		len += snprintf(to + len, size - len, ",ffffffff");
}

void port_use_queue(const struct port *port, unsigned int queue, bool use)
{
	char path[96], mask[1024] = "0";

	if (use)
		all_cpus(mask, sizeof(mask));
	snprintf(path, sizeof(path), "/sys/class/net/%s/queues/tx-%u/xps_cpus", port->name, queue);
	must(!file_write(path, mask));
}

const char *port_open(struct port *port, const char *pf, unsigned int vf)
{
	port->fd = -1;
	if (!find_netdev(pf, vf, port->name))
		return "the VF has no representor";
	port_no_ipv6(port);
	port_set_up(port, true);
	port->fd = open_socket(port);
	return port->fd < 0 ? "this kernel has no packet sockets" : NULL;
}

void port_close(struct port *port)
{
	if (port->fd >= 0)
		close(port->fd);
	port->fd = -1;
}

bool port_carrier(struct port *port)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/class/net/%s/carrier", port->name);
	return file_u64(path, 0) == 1;
}

bool port_wait_carrier(struct port *port)
{
	return wait_until(port_carrier(port));
}

int port_try_send(struct port *port, const struct virtio_net_hdr *header, const void *data,
		  size_t len)
{
	static const struct virtio_net_hdr none;
	struct iovec iov[2] = {
		{ (void *)(header ?: &none), sizeof(none) },
		{ (void *)data, len },
	};
	ssize_t n = writev(port->fd, iov, 2);

	if (n < 0)
		return -errno;
	must((size_t)n == sizeof(none) + len);
	return 0;
}

void port_send(struct port *port, const void *data, size_t len)
{
	must(wait_until(!port_try_send(port, NULL, data, len)));
}

static void take_tag(struct port_frame *frame, struct msghdr *msg)
{
	struct tpacket_auxdata aux;

	frame->tagged = false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		frame->tagged = aux.tp_status & TP_STATUS_VLAN_VALID;
		frame->vid = aux.tp_vlan_tci & 0xfff;
		frame->priority = aux.tp_vlan_tci >> 13;
		frame->protocol = aux.tp_vlan_tpid;
	}
}

bool port_recv(struct port *port, struct port_frame *frame)
{
	struct iovec iov[2] = {
		{ &frame->header, sizeof(frame->header) },
		{ frame->data, sizeof(frame->data) },
	};
	u8 control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(port->fd, &msg, 0);

	/* ENETDOWN is for a representor that went down meanwhile */
	if (n < 0) {
		must(errno == EAGAIN || errno == ENETDOWN);
		return false;
	}
	must((size_t)n >= sizeof(frame->header));
	frame->len = n - sizeof(frame->header);
	take_tag(frame, &msg);
	return true;
}

static bool recv_seq(struct port *port, struct port_frame *frame, s64 seq)
{
	while (port_recv(port, frame))
		if (frame_seq(frame->data, frame->len) == seq)
			return true;
	return false;
}

bool port_expect(struct port *port, struct port_frame *frame, s64 seq)
{
	return wait_until(recv_seq(port, frame, seq));
}

void port_drain(struct port *port)
{
	static struct port_frame frame;

	while (port_recv(port, &frame))
		;
}

int port_attr(const char *pf, int vf, const char *file, char *buf, size_t size)
{
	char name[IFNAMSIZ], path[96];
	int err;

	must(find_netdev(pf, vf, name));
	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, file);
	err = file_read(path, buf, size);
	if (!err)
		buf[strcspn(buf, "\n")] = 0;
	return err;
}

int port_ethtool(const struct port *port, void *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;
	struct ifreq ifr = request_of(port);

	must(fd >= 0);
	ifr.ifr_data = request;
	err = ioctl(fd, SIOCETHTOOL, &ifr) ? -errno : 0;
	close(fd);
	return err;
}

/* As many as a representor has, and more */
#define COUNTERS	256

u64 port_counter(const struct port *port, const char *name)
{
	static struct {
		struct ethtool_gstrings head;
		char name[COUNTERS][ETH_GSTRING_LEN];
	} names;
	static struct {
		struct ethtool_stats head;
		__u64 value[COUNTERS];
	} stats;
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	must(!port_ethtool(port, &info));
	must(info.n_stats && info.n_stats <= COUNTERS);
	names.head = (struct ethtool_gstrings){
		.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = info.n_stats,
	};
	must(!port_ethtool(port, &names));
	stats.head = (struct ethtool_stats){ .cmd = ETHTOOL_GSTATS, .n_stats = info.n_stats };
	must(!port_ethtool(port, &stats));
	for (unsigned int i = 0; i < info.n_stats; i++)
		if (!strncmp(names.name[i], name, ETH_GSTRING_LEN))
			return stats.value[i];
	must(false);
	return 0;
}

/* A message to set the VFs of a netdev, with room for one setting */
struct vf_message {
	struct nlmsghdr header;
	struct ifinfomsg info;
	struct rtattr list;
	struct rtattr vf;
	struct rtattr setting;
	u8 data[64];
};

static int netlink_answer(int fd)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		u8 more[512];
	} answer;
	ssize_t n = recv(fd, &answer, sizeof(answer), 0);

	must(n >= (ssize_t)offsetof(typeof(answer), more));
	must(answer.header.nlmsg_type == NLMSG_ERROR);
	return answer.error.error;
}

static int vf_set(const char *pf, unsigned short type, const void *data, size_t len)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), err;
	struct vf_message msg = {};
	char name[IFNAMSIZ];

	must(fd >= 0 && len <= sizeof(msg.data) && len % RTA_ALIGNTO == 0);
	port_netdev(pf, name);
	msg.header.nlmsg_len = offsetof(struct vf_message, data) + len;
	msg.header.nlmsg_type = RTM_SETLINK;
	msg.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	msg.info.ifi_index = if_nametoindex(name);
	msg.setting = (struct rtattr){ sizeof(msg.setting) + len, type };
	msg.vf = (struct rtattr){ sizeof(msg.vf) + msg.setting.rta_len, IFLA_VF_INFO };
	msg.list = (struct rtattr){ sizeof(msg.list) + msg.vf.rta_len, IFLA_VFINFO_LIST };
	memcpy(msg.data, data, len);
	must(send(fd, &msg, msg.header.nlmsg_len, 0) == (ssize_t)msg.header.nlmsg_len);
	err = netlink_answer(fd);
	close(fd);
	return err;
}

int vf_set_mac(const char *pf, unsigned int vf, const u8 *mac)
{
	struct ifla_vf_mac setting = { .vf = vf };

	memcpy(setting.mac, mac, ETH_ALEN);
	return vf_set(pf, IFLA_VF_MAC, &setting, sizeof(setting));
}

int vf_set_trust(const char *pf, unsigned int vf, bool on)
{
	struct ifla_vf_trust setting = { .vf = vf, .setting = on };

	return vf_set(pf, IFLA_VF_TRUST, &setting, sizeof(setting));
}

int vf_set_spoofchk(const char *pf, unsigned int vf, bool on)
{
	struct ifla_vf_spoofchk setting = { .vf = vf, .setting = on };

	return vf_set(pf, IFLA_VF_SPOOFCHK, &setting, sizeof(setting));
}

int vf_set_link(const char *pf, unsigned int vf, u32 state)
{
	struct ifla_vf_link_state setting = { .vf = vf, .link_state = state };

	return vf_set(pf, IFLA_VF_LINK_STATE, &setting, sizeof(setting));
}

int vf_set_vlan(const char *pf, unsigned int vf, u32 vid, u32 priority, u16 protocol)
{
	struct {
		struct rtattr attr;
		struct ifla_vf_vlan_info info;
	} setting = {
		.attr = { sizeof(setting), IFLA_VF_VLAN_INFO },
		.info = { .vf = vf, .vlan = vid, .qos = priority, .vlan_proto = htons(protocol) },
	};

	return vf_set(pf, IFLA_VF_VLAN_LIST, &setting, sizeof(setting));
}

int vf_set_rate(const char *pf, unsigned int vf, u32 mbit)
{
	struct ifla_vf_rate setting = { .vf = vf, .max_tx_rate = mbit };

	return vf_set(pf, IFLA_VF_RATE, &setting, sizeof(setting));
}
