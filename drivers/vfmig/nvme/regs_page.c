// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers that users map, see map.c.  A driver in user space, which has no use for a
 * register that it must read by a system call, maps them with the doorbells.
 *
 * The page shows each register as a trapped read would return it, and the controller remembers
 * what it shows.  So a word of the page with another value was stored by a user.  Such a store goes
 * to the code that a trapped write goes to, and then the page shows what became of it: a register
 * that can't be written has its value again, as have reserved bits.
 *
 * A store of the value that is shown goes unnoticed.  That is right: no register here does anything
 * if it is written with the value that it has.  INTMC would, as it has the value of INTMS, so the
 * page shows 0 there, and writing that changes nothing.  Of two stores to INTMS or INTMC between
 * two looks the second one counts.  They mask nothing here: MSI-X has masks of its own.
 *
 * Between two looks a user may store to several registers.  What matters is the order of those
 * before CC, which enables the controller with the admin queues that AQA, ASQ and ACQ say, and of
 * doorbells before CC, which do not count.  So CC is read first, then all else, and CC takes effect
 * last.  A store that came before that to CC is seen, as CPUs see the stores of another one in
 * order.  It does no harm to see one that came after that to CC, too: a host waits for CSTS.RDY
 * before it goes on (NVMe 1.4, 3.1.5).  For the same reason, no value of CC.EN that counts is
 * stored between two looks: the next one comes only when CSTS has followed.  The exception is an
 * enable that has failed, see enable_has_failed().
 */
#include <linux/atomic.h>
#include <linux/string.h>

#include <asm/barrier.h>

#include "nvme.h"

#define VFMIG_NVME_WORDS	(PAGE_SIZE / sizeof(u32))
/* How often to look for the end of what a host stores before it enables the controller again */
#define VFMIG_NVME_LOOKS	4

#define VFMIG_NVME_CC_WORD	(NVME_REG_CC / sizeof(u32))

/* The value that the page shows in word @i, with the latch's lock held */
static u32 value_to_show(const struct vfmig_nvme *ctrl, unsigned int i)
{
	u64 offset = i * sizeof(u32);

	return offset == NVME_REG_INTMC ? 0 : vfmig_nvme_reg_read(&ctrl->latch, offset);
}

/*
 * The page has @old in word @i, or a user has just stored something else.  That stays, and is taken
 * at the next look: it came after whatever the controller has to show now.
 */
static void show_word(struct vfmig_nvme *ctrl, unsigned int i, u32 old)
{
	u32 value = value_to_show(ctrl, i);

	if (value != old)
		cmpxchg(&ctrl->map.regs.words[i], old, value);
	ctrl->map.shown[i] = value;
}

/*
 * Registers may have changed: show them, if the page is in use, with the latch's lock held.  Stores
 * that were not taken stay.
 */
void vfmig_nvme_show_regs(struct vfmig_nvme *ctrl)
{
	if (!ctrl->map.regs.in_use)
		return;
	for (unsigned int i = 0; i < VFMIG_NVME_SHOWN; i++)
		show_word(ctrl, i, ctrl->map.shown[i]);
}

/* Drop what was stored, if there is a page, with the latch's lock held: show the registers */
void vfmig_nvme_drop_regs(struct vfmig_nvme *ctrl)
{
	u32 *words = ctrl->map.regs.words;

	for (unsigned int i = 0; words && i < VFMIG_NVME_SHOWN; i++) {
		ctrl->map.shown[i] = value_to_show(ctrl, i);
		WRITE_ONCE(words[i], ctrl->map.shown[i]);
	}
}

/*
 * Has CC.EN been set with registers that don't do?  CSTS.RDY is 0 then, so a host that clears CC.EN
 * has nothing to wait for, and may set it again before the next look.  All that is seen of that is
 * what it has changed.  If it has changed nothing, the enable would fail again.
 */
static bool enable_has_failed(const struct vfmig_nvme_latch *latch)
{
	return (latch->cc & NVME_CC_ENABLE) &&
	       (latch->csts & (NVME_CSTS_CFS | NVME_CSTS_RDY)) == NVME_CSTS_CFS;
}

/* Take @value, which was found in word @i; returns true if it was stored by a user */
static bool take_word(struct vfmig_nvme *ctrl, unsigned int i, u32 value)
{
	if (value == ctrl->map.shown[i])
		return false;
	vfmig_nvme_map_is_used(ctrl);
	vfmig_nvme_reg_write(ctrl, i * sizeof(u32), value);
	show_word(ctrl, i, value);
	return true;
}

/* Take what was stored to all registers but CC; returns true if there was anything */
static bool take_words(struct vfmig_nvme *ctrl)
{
	bool taken = false;

	for (unsigned int i = 0; i < VFMIG_NVME_SHOWN; i++)
		if (i != VFMIG_NVME_CC_WORD)
			taken |= take_word(ctrl, i, READ_ONCE(ctrl->map.regs.words[i]));
	return taken;
}

/* To be called before take_words() */
static u32 load_cc(const struct vfmig_nvme *ctrl)
{
	/* Pairs with the order of the user's stores */
	return smp_load_acquire(&ctrl->map.regs.words[VFMIG_NVME_CC_WORD]);
}

/*
 * Disable and enable the controller by what was stored since an enable has failed.  The host may be
 * in the middle of its stores, and an enable with some of them would not be what it asks for.  So
 * look until there is nothing new: CC is then no older than any register that was taken.
 */
static void enable_again(struct vfmig_nvme *ctrl)
{
	unsigned int looks = 0;
	u32 cc;

	do
		cc = load_cc(ctrl);
	while (take_words(ctrl) && ++looks < VFMIG_NVME_LOOKS);
	vfmig_nvme_reg_write(ctrl, NVME_REG_CC, cc & ~NVME_CC_ENABLE);
	vfmig_nvme_reg_write(ctrl, NVME_REG_CC, cc);
	show_word(ctrl, VFMIG_NVME_CC_WORD, cc);
}

/*
 * Take what was stored to both pages, with the latch's lock held.  Returns true if there was
 * anything: the worker, which may be looking at the pages, does not find it there any more.
 */
bool vfmig_nvme_take_stores(struct vfmig_nvme *ctrl)
{
	bool taken, rung;
	u32 cc;

	if (!READ_ONCE(ctrl->map.regs.in_use))
		return vfmig_nvme_take_bells(ctrl);
	cc = load_cc(ctrl);
	rung = vfmig_nvme_take_bells(ctrl);
	taken = take_words(ctrl) || cc != ctrl->map.shown[VFMIG_NVME_CC_WORD];
	if (taken && enable_has_failed(&ctrl->latch))
		enable_again(ctrl);
	else
		take_word(ctrl, VFMIG_NVME_CC_WORD, cc);
	/* A store to INTMC shows at INTMS */
	vfmig_nvme_show_regs(ctrl);
	return taken || rung;
}

/* Was anything stored to a register?  Called without a lock, so it may be wrong for a moment. */
bool vfmig_nvme_regs_are_stored(const struct vfmig_nvme *ctrl)
{
	if (!READ_ONCE(ctrl->map.regs.in_use))
		return false;
	for (unsigned int i = 0; i < VFMIG_NVME_SHOWN; i++)
		if (READ_ONCE(ctrl->map.regs.words[i]) != READ_ONCE(ctrl->map.shown[i]))
			return true;
	return false;
}

/*
 * The page is not mapped any more.  Clear what is in it beyond the registers; returns true if there
 * was a store to one of them before that.
 */
bool vfmig_nvme_check_regs(struct vfmig_nvme *ctrl)
{
	if (!READ_ONCE(ctrl->map.regs.in_use))
		return false;
	memset32(&ctrl->map.regs.words[VFMIG_NVME_SHOWN], 0, VFMIG_NVME_WORDS - VFMIG_NVME_SHOWN);
	return vfmig_nvme_regs_are_stored(ctrl);
}
