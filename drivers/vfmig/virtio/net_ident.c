// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MAC address that belongs to a device.  An address that the administrator gives a VF
 * takes its place, and is none of this file's.
 *
 * The address moves with a stream.  No two devices of this host keep the same one:
 *
 * - A source whose stream was read to its end has given its address away.  It gets a new one
 *   when it is closed or reset.  If it runs again instead, the migration failed, and it keeps
 *   the address.
 * - A destination takes the address of the stream.  When it runs, a closed device with the same
 *   one gets a new one.
 * - A destination whose source runs again gets a new one when it is closed or reset.
 * - A destination that was loaded and has not run gets a new one when it is closed: the source, on
 *   another host perhaps, may run again.  A reset leaves it the address: QEMU resets a device that
 *   it can't start, and runs the guest on it.  The guest does so when it sets DRIVER_OK, which
 *   counts as running.
 *
 * A guest may have seen the address of an open device, so other devices don't change it.
 *
 * Anybody on the network knows an address, and the stream is hostile.  So equal addresses prove
 * nothing.  A random tag moves with the address, and the rules above are for devices with the
 * same tag.  A user of a VF has no claim on the next one's address, so the tag changes when the VF
 * is opened, unless another device has it.
 */
#include <linux/cleanup.h>
#include <linux/etherdevice.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/string.h>

#include "net.h"

/* Protects the list and the identities in it.  Nests in a device's lock. */
static DEFINE_MUTEX(idents_lock);
static LIST_HEAD(idents);

/* No other device has this tag; idents_lock is held */
static void make_tag(struct vfmig_net *net)
{
	get_random_bytes(net->ident_tag, sizeof(net->ident_tag));
}

/* idents_lock is held */
static void make_ident(struct vfmig_net *net)
{
	eth_random_addr(net->ident_mac);
	make_tag(net);
	net->ident_given = false;
	net->ident_stale = false;
	net->ident_doubled = false;
	net->ident_untried = false;
}

/* Did both get the address from the same device? */
static bool is_twin(const struct vfmig_net *net, const struct vfmig_net *other)
{
	return other != net && !memcmp(other->ident_tag, net->ident_tag, sizeof(net->ident_tag));
}

/* Does another device continue with this address?  A close or reset then replaces it. */
static bool is_lost(const struct vfmig_net *net)
{
	return net->ident_given || net->ident_stale;
}

/* Does it, or may it?  A close then replaces the address. */
static bool is_to_go(const struct vfmig_net *net)
{
	return is_lost(net) || net->ident_untried;
}

/*
 * Does a device that is not related have the same address, and may keep it?  One that was loaded
 * and has not run may.
 */
static bool is_doubled(const struct vfmig_net *net)
{
	const struct vfmig_net *other;

	list_for_each_entry(other, &idents, ident_entry)
		if (other != net && !is_twin(net, other) && !is_lost(other) &&
		    ether_addr_equal_unaligned(other->ident_mac, net->ident_mac))
			return true;
	return false;
}

/* Is another device related, whether it keeps the address or not? */
static bool has_kin(const struct vfmig_net *net)
{
	const struct vfmig_net *other;

	list_for_each_entry(other, &idents, ident_entry)
		if (is_twin(net, other))
			return true;
	return false;
}

/* Does another device have the same address, and will keep it? */
static bool has_twin(const struct vfmig_net *net)
{
	const struct vfmig_net *other;

	list_for_each_entry(other, &idents, ident_entry)
		if (is_twin(net, other) && !is_to_go(other))
			return true;
	return false;
}

/* The port shows the address, and the device takes it when it is opened */
static void renew_closed(struct vfmig_net *net)
{
	u8 mac[ETH_ALEN] __aligned(2);

	make_ident(net);
	/* A device that is being created has no port yet */
	if (net->port && !vfmig_port_admin_mac(net->port, mac))
		vfmig_port_set_mac(net->port, net->ident_mac);
}

/* Closed twins get a new address at once; open ones, if @mark_open, when they are closed */
static void renew_twins(const struct vfmig_net *net, bool mark_open)
{
	struct vfmig_net *other;

	list_for_each_entry(other, &idents, ident_entry) {
		if (!is_twin(net, other))
			continue;
		if (!other->ident_open)
			renew_closed(other);
		else if (mark_open)
			other->ident_stale = true;
	}
}

void vfmig_net_ident_add(struct vfmig_net *net)
{
	guard(mutex)(&idents_lock);
	make_ident(net);
	list_add(&net->ident_entry, &idents);
}

void vfmig_net_ident_del(struct vfmig_net *net)
{
	guard(mutex)(&idents_lock);
	list_del(&net->ident_entry);
}

/* Another device can change the address of a closed one */
void vfmig_net_ident_get(struct vfmig_net *net, u8 *mac)
{
	guard(mutex)(&idents_lock);
	ether_addr_copy(mac, net->ident_mac);
}

void vfmig_net_ident_open(struct vfmig_net *net)
{
	guard(mutex)(&idents_lock);
	net->ident_open = true;
	if (!has_kin(net))
		make_tag(net);
}

/* The device was closed, or reset by an FLR */
void vfmig_net_ident_lost(struct vfmig_net *net, bool closed)
{
	guard(mutex)(&idents_lock);
	if (closed)
		net->ident_open = false;
	if (is_lost(net) ||
	    (closed && (net->ident_untried || net->ident_doubled || has_twin(net))))
		make_ident(net);
}

/* The stream was read to its end */
void vfmig_net_ident_give(struct vfmig_net *net)
{
	guard(mutex)(&idents_lock);
	net->ident_given = true;
}

/* The device runs again, and keeps its address.  Devices that took it lose it. */
void vfmig_net_ident_keep(struct vfmig_net *net)
{
	guard(mutex)(&idents_lock);
	if (!net->ident_given)
		return;
	net->ident_given = false;
	renew_twins(net, true);
}

/*
 * A stream was loaded.  One of version 1 has no tag but zeroes, and so no twins.  A device that
 * takes an address which another one has does not keep it for the VF's next user.
 */
void vfmig_net_ident_take(struct vfmig_net *net, const u8 *mac, const u8 *tag)
{
	guard(mutex)(&idents_lock);
	ether_addr_copy(net->ident_mac, mac);
	if (memchr_inv(tag, 0, sizeof(net->ident_tag)))
		memcpy(net->ident_tag, tag, sizeof(net->ident_tag));
	else
		make_tag(net);
	net->ident_given = false;
	net->ident_stale = false;
	net->ident_untried = true;
	net->ident_doubled = is_doubled(net);
}

/* A guest runs the device: if the address was loaded, the guest uses it from now on */
void vfmig_net_ident_run(struct vfmig_net *net)
{
	guard(mutex)(&idents_lock);
	if (!net->ident_untried)
		return;
	net->ident_untried = false;
	renew_twins(net, false);
}
