// SPDX-License-Identifier: GPL-2.0-only
/*
 * The identity of a controller: serial number, NGUID, EUI-64, subsystem NQN and controller ID.
 *
 * An identity belongs to the medium.  Both move with a stream, and both stay when the VF is
 * closed.  No two controllers of this host keep the same identity:
 *
 * - A source whose stream was read to its end has given its identity away.  It gets a new one
 *   when it is closed or reset.  If it runs again instead, the migration failed, and it keeps
 *   the identity.
 * - A destination takes the identity of the stream.  When it runs, a closed controller with the
 *   same identity gets a new one.  It is the source of a snapshot, or the stream was loaded into it
 *   before.
 * - A destination whose source runs again gets a new one when it is closed or reset.
 * - A destination that was loaded and has not run gets a new one when it is closed: the source, on
 *   another host perhaps, may run again.  A reset leaves it the identity: QEMU resets a device that
 *   it can't start, and runs the guest on it, which then has to find the same disk.  The guest does
 *   so when it enables the controller, which counts as running.
 *
 * A guest may have seen the identity of an open controller, so other controllers don't change
 * it.  Two open controllers have the same identity if one stream was loaded twice.
 */
#include <linux/cleanup.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/once.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "nvme.h"

/* Protects the list and the identities in it.  Nests in a controller's lock. */
static DEFINE_MUTEX(idents_lock);
static LIST_HEAD(idents);
static u16 last_cntlid;

/* Hash number @n for the function and the generation of its identity */
static u64 ident_hash(struct vfmig_nvme *ctrl, u64 n)
{
	static siphash_key_t salt;
	struct {
		char name[24];
		u64 generation;
		u64 n;
	} source = { .generation = ctrl->ident_generation, .n = n };

	get_random_once(&salt, sizeof(salt));
	strscpy(source.name, vfmig_fn_name(ctrl->fn));
	return siphash(&source, sizeof(source), &salt);
}

static u16 next_cntlid(void)
{
	last_cntlid = last_cntlid == VFMIG_NVME_MAX_CNTLID ? 1 : last_cntlid + 1;
	return last_cntlid;
}

/* Give the controller an identity that no controller had before; idents_lock is held */
static void make_ident(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_ident *ident = &ctrl->ident;
	char serial[sizeof(ident->serial) + 1];
	u64 hash[6];

	ctrl->ident_generation++;
	for (unsigned int i = 0; i < ARRAY_SIZE(hash); i++)
		hash[i] = ident_hash(ctrl, i);

	snprintf(serial, sizeof(serial), "VFMIG%015llX", hash[0] >> 4);
	memcpy(ident->serial, serial, sizeof(ident->serial));

	/* Locally administered, as vfmig has no OUI */
	put_unaligned_be64((hash[1] & ~BIT_ULL(56)) | BIT_ULL(57), ident->eui64);
	put_unaligned_be64(hash[2], ident->nguid);
	put_unaligned_be64((hash[3] & ~BIT_ULL(56)) | BIT_ULL(57), ident->nguid + 8);

	/* Version 4, variant 1 */
	put_unaligned_be64((hash[4] & ~0xf000ULL) | 0x4000, ident->subsys.b);
	put_unaligned_be64((hash[5] >> 2) | BIT_ULL(63), ident->subsys.b + 8);

	ident->cntlid = next_cntlid();
	ctrl->ident_given = false;
	ctrl->ident_stale = false;
	ctrl->ident_untried = false;
}

static bool is_twin(const struct vfmig_nvme *ctrl, const struct vfmig_nvme *other)
{
	return other != ctrl && uuid_equal(&other->ident.subsys, &ctrl->ident.subsys);
}

/* Does another controller continue with this identity?  A close or reset then replaces it. */
static bool is_lost(const struct vfmig_nvme *ctrl)
{
	return ctrl->ident_given || ctrl->ident_stale;
}

/* Does it, or may it?  A close then replaces the identity. */
static bool is_to_go(const struct vfmig_nvme *ctrl)
{
	return is_lost(ctrl) || ctrl->ident_untried;
}

/* Does another controller have the same identity, and will keep it? */
static bool has_twin(const struct vfmig_nvme *ctrl)
{
	const struct vfmig_nvme *other;

	list_for_each_entry(other, &idents, ident_entry)
		if (is_twin(ctrl, other) && !is_to_go(other))
			return true;
	return false;
}

/* No guest uses a closed controller, so it can get a new identity at once */
static void renew_closed_twins(const struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme *other;

	list_for_each_entry(other, &idents, ident_entry)
		if (is_twin(ctrl, other) && !other->ident_open)
			make_ident(other);
}

static void mark_open_twins_stale(const struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme *other;

	list_for_each_entry(other, &idents, ident_entry)
		if (is_twin(ctrl, other) && other->ident_open)
			other->ident_stale = true;
}

void vfmig_nvme_ident_add(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	make_ident(ctrl);
	list_add(&ctrl->ident_entry, &idents);
}

void vfmig_nvme_ident_del(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	list_del(&ctrl->ident_entry);
}

void vfmig_nvme_ident_open(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	ctrl->ident_open = true;
}

void vfmig_nvme_ident_close(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	ctrl->ident_open = false;
	if (is_to_go(ctrl) || has_twin(ctrl))
		make_ident(ctrl);
}

void vfmig_nvme_ident_reset(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	if (is_lost(ctrl))
		make_ident(ctrl);
}

/* The stream was read to its end */
void vfmig_nvme_ident_give(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	ctrl->ident_given = true;
}

/*
 * The controller runs again and keeps its identity.  Controllers that took it lose it, open ones
 * when they are closed or reset.  Returns true if the identity had been given away.
 */
bool vfmig_nvme_ident_keep(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	if (!ctrl->ident_given)
		return false;
	ctrl->ident_given = false;
	renew_closed_twins(ctrl);
	mark_open_twins_stale(ctrl);
	return true;
}

/* A stream was loaded */
void vfmig_nvme_ident_take(struct vfmig_nvme *ctrl, const struct vfmig_nvme_ident *ident)
{
	guard(mutex)(&idents_lock);
	ctrl->ident = *ident;
	ctrl->ident_given = false;
	ctrl->ident_stale = false;
	ctrl->ident_untried = true;
}

/* A guest runs the controller: if the identity was loaded, the guest uses it from now on */
void vfmig_nvme_ident_run(struct vfmig_nvme *ctrl)
{
	guard(mutex)(&idents_lock);
	if (!ctrl->ident_untried)
		return;
	ctrl->ident_untried = false;
	renew_closed_twins(ctrl);
}
