// SPDX-License-Identifier: GPL-2.0-only
/*
 * The faults that are set on a VF: adds, counts and clears them.  fault_parse.c knows the
 * words, and the other fault_*.c files what happens at each point.
 */
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/math.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "fault_list.h"
#include "trace.h"

#define VFMIG_FAULTS_MAX	64

DEFINE_STATIC_KEY_FALSE(vfmig_faults_set);

static bool vfmig_fault_is_due(struct vfmig_fault *fault)
{
	switch (fault->when) {
	case VFMIG_FAULT_TIMES:
		return fault->seen <= fault->count;
	case VFMIG_FAULT_NTH:
		return fault->seen == fault->count;
	case VFMIG_FAULT_PROBABLY:
		return reciprocal_scale(prandom_u32_state(&fault->random), 100) < fault->count;
	default:
		return true;
	}
}

/* A fault could happen.  Does it, this time?  Under @lock. */
bool vfmig_fault_happens(struct vfmig_faults *faults, struct vfmig_fault *fault)
{
	fault->seen++;
	if (!vfmig_fault_is_due(fault))
		return false;
	fault->done++;
	trace_vfmig_fault(faults->name, fault->id, fault->text);
	return true;
}

/* For a thread that waits because of fault @id */
bool vfmig_fault_is_set(struct vfmig_faults *faults, unsigned int id)
{
	struct vfmig_fault *fault;
	bool found = false;

	spin_lock(&faults->lock);
	list_for_each_entry(fault, &faults->list, node)
		found |= fault->id == id;
	spin_unlock(&faults->lock);
	return found;
}

/* Which points have a fault?  Under @edit. */
static void vfmig_faults_arm(struct vfmig_faults *faults)
{
	unsigned long was = faults->armed, armed = 0;
	struct vfmig_fault *fault;

	list_for_each_entry(fault, &faults->list, node)
		armed |= BIT(fault->point);
	WRITE_ONCE(faults->armed, armed);
	if (armed && !was)
		static_branch_inc(&vfmig_faults_set);
	if (!armed && was)
		static_branch_dec(&vfmig_faults_set);
}

/* Removes fault @id, or all if that is 0; is there one?  Under @edit. */
static bool vfmig_faults_remove(struct vfmig_faults *faults, unsigned int id)
{
	struct vfmig_fault *fault, *next;
	LIST_HEAD(gone);

	spin_lock(&faults->lock);
	list_for_each_entry_safe(fault, next, &faults->list, node)
		if (!id || fault->id == id)
			list_move(&fault->node, &gone);
	spin_unlock(&faults->lock);
	vfmig_faults_arm(faults);

	if (list_empty(&gone))
		return false;
	list_for_each_entry_safe(fault, next, &gone, node) {
		faults->nr--;
		kfree(fault);
	}
	return true;
}

static int vfmig_faults_add(struct vfmig_faults *faults, char *line)
{
	struct vfmig_fault *fault;
	int ret;

	if (faults->nr == VFMIG_FAULTS_MAX) {
		snprintf(faults->why, sizeof(faults->why), "%u faults are set", faults->nr);
		return -ENOSPC;
	}
	fault = kzalloc(sizeof(*fault), GFP_KERNEL_ACCOUNT);
	if (!fault)
		return -ENOMEM;
	ret = vfmig_fault_parse(fault, line, faults->why, sizeof(faults->why));
	if (ret) {
		kfree(fault);
		return ret;
	}
	prandom_seed_state(&fault->random, fault->seed);
	fault->id = ++faults->last_id;
	faults->nr++;
	spin_lock(&faults->lock);
	list_add_tail(&fault->node, &faults->list);
	spin_unlock(&faults->lock);
	vfmig_faults_arm(faults);
	return 0;
}

/* "clear" was taken from @line */
static int vfmig_faults_clear_line(struct vfmig_faults *faults, char *line)
{
	char *word = strim(line);
	u64 id = 0;

	if (*word && (vfmig_fault_parse_u64(word, false, &id) || !id || id > U32_MAX)) {
		snprintf(faults->why, sizeof(faults->why), "\"%s\" is not the number of a fault",
			 word);
		return -EINVAL;
	}
	if (vfmig_faults_remove(faults, id) || !id)
		return 0;
	snprintf(faults->why, sizeof(faults->why), "there is no fault %llu", id);
	return -ENOENT;
}

/* A line of a user, which is changed */
int vfmig_fault_write_line(struct vfmig_faults *faults, char *line)
{
	guard(mutex)(&faults->edit);
	faults->why[0] = 0;
	line = strim(line);
	if (!*line || *line == '#')
		return 0;
	if (!strncmp(line, "clear", 5) && (!line[5] || isspace(line[5])))
		return vfmig_faults_clear_line(faults, line + 5);
	return vfmig_faults_add(faults, line);
}

/* The driver is about to leave the VF: whoever waits for a fault goes on */
void vfmig_faults_clear(struct vfmig_faults *faults)
{
	guard(mutex)(&faults->edit);
	vfmig_faults_remove(faults, 0);
}

/* @name is the PCI address of the VF; returns NULL without memory */
struct vfmig_faults *vfmig_faults_create(const char *name)
{
	struct vfmig_faults *faults;

	faults = kzalloc(sizeof(*faults), GFP_KERNEL);
	if (!faults)
		return NULL;
	kref_init(&faults->ref);
	strscpy(faults->name, name, sizeof(faults->name));
	init_waitqueue_head(&faults->wait);
	mutex_init(&faults->edit);
	spin_lock_init(&faults->lock);
	INIT_LIST_HEAD(&faults->list);
	return faults;
}

static void vfmig_faults_free(struct kref *ref)
{
	struct vfmig_faults *faults = container_of(ref, struct vfmig_faults, ref);

	mutex_destroy(&faults->edit);
	kfree(faults);
}

/* vfmig_faults_clear() came before the VF's own */
void vfmig_faults_put(struct vfmig_faults *faults)
{
	kref_put(&faults->ref, vfmig_faults_free);
}
