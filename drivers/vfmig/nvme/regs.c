// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers: accesses of a vCPU, and how the worker handles them.
 *
 * A write is stored in the latch and kicks the worker, without waiting for it; or the vCPU that
 * has rung a doorbell does what is brief itself.  The pages with the registers and the doorbells
 * can be mapped, see map.c.
 * The worker answers in CSTS.  A doorbell write that the worker has not handled
 * stays in the latch and is part of the migration state.
 *
 * INTMS and INTMC hold a value but mask nothing, because a function with MSI-X
 * masks vectors in the MSI-X table.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/nospec.h>

#include "nvme.h"

#define VFMIG_NVME_CAP_CQR	BIT_ULL(16)
#define VFMIG_NVME_CAP_TO	(20ULL << 24)	/* 10 s, in units of 500 ms */

static const u64 vfmig_nvme_cap =
	(VFMIG_NVME_MAX_ENTRIES - 1) | VFMIG_NVME_CAP_CQR | VFMIG_NVME_CAP_TO |
	(u64)NVME_CAP_CSS_NVM << 37 | (u64)(VFMIG_NVME_MAX_SHIFT - 12) << 52;

/* The 32 bits at @offset, with the latch's lock held */
u32 vfmig_nvme_reg_read(const struct vfmig_nvme_latch *latch, u64 offset)
{
	switch (offset) {
	case NVME_REG_CAP:
		return lower_32_bits(vfmig_nvme_cap);
	case NVME_REG_CAP + 4:
		return upper_32_bits(vfmig_nvme_cap);
	case NVME_REG_VS:
		return VFMIG_NVME_VERSION;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return latch->intm;
	case NVME_REG_CC:
		return latch->cc;
	case NVME_REG_CSTS:
		return latch->csts;
	case NVME_REG_AQA:
		return latch->aqa;
	case NVME_REG_ASQ:
		return lower_32_bits(latch->asq);
	case NVME_REG_ASQ + 4:
		return upper_32_bits(latch->asq);
	case NVME_REG_ACQ:
		return lower_32_bits(latch->acq);
	case NVME_REG_ACQ + 4:
		return upper_32_bits(latch->acq);
	default:
		return 0;
	}
}

u64 vfmig_nvme_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len)
{
	struct vfmig_nvme *ctrl = vf;
	bool kick = false;
	u64 value;

	if (bar)
		return U64_MAX;

	spin_lock(&ctrl->latch.lock);
	/* A vCPU that has stored to a register through a mapping may read it by a trap */
	if (!ctrl->latch.frozen)
		kick = vfmig_nvme_take_stores(ctrl);
	value = vfmig_nvme_reg_read(&ctrl->latch, offset & ~3ULL);
	if (len == 8)
		value |= (u64)vfmig_nvme_reg_read(&ctrl->latch, offset + 4) << 32;
	spin_unlock(&ctrl->latch.lock);

	if (kick)
		vfmig_worker_kick(&ctrl->worker);
	return (value >> (8 * (offset & 3))) & GENMASK_ULL(8 * len - 1, 0);
}

static_assert(VFMIG_NVME_CC_FIXED == (NVME_CC_CSS_MASK | 0xf << NVME_CC_MPS_SHIFT |
				      7 << NVME_CC_AMS_SHIFT));

static void write_cc(struct vfmig_nvme_latch *latch, u32 value)
{
	if (latch->cc & value & NVME_CC_ENABLE)
		value = (value & ~VFMIG_NVME_CC_FIXED) | (latch->cc & VFMIG_NVME_CC_FIXED);
	if ((latch->cc & NVME_CC_ENABLE) && !(value & NVME_CC_ENABLE)) {
		/* Disabling drops earlier doorbell writes.  Those after a new enable count. */
		bitmap_zero(latch->rung, 2 * VFMIG_NVME_QUEUES);
		latch->flags = VFMIG_NVME_DISABLED;
	}
	latch->cc = value & VFMIG_NVME_CC_MASK;
}

/* Returns true if the worker must be kicked */
static bool write_doorbell(struct vfmig_nvme *ctrl, u64 offset, u32 value)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;
	u64 index = (offset - NVME_REG_DBS) / 4;

	if (!(latch->cc & NVME_CC_ENABLE))
		return false;
	if (index >= 2 * VFMIG_NVME_QUEUES) {
		latch->flags |= VFMIG_NVME_BAD_DOORBELL;
		return true;
	}
	index = array_index_nospec(index, 2 * VFMIG_NVME_QUEUES);
	latch->doorbell[index] = value;
	__set_bit(index, latch->rung);
	return index % 2 == 0 || test_bit(index / 2, latch->full) ||
	       vfmig_nvme_head_is_news(ctrl, index / 2, value);
}

static void set_half(u64 *reg, bool upper, u32 value)
{
	if (upper)
		*reg = lower_32_bits(*reg) | (u64)value << 32;
	else
		*reg = (*reg & ~(u64)U32_MAX) | (value & ~(u32)(SZ_4K - 1));
}

/* Returns true if the worker must be kicked; with the latch's lock held */
bool vfmig_nvme_reg_write(struct vfmig_nvme *ctrl, u64 offset, u32 value)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;

	if (offset >= NVME_REG_DBS)
		return write_doorbell(ctrl, offset, value);

	switch (offset) {
	case NVME_REG_INTMS:
		latch->intm |= value;
		return false;
	case NVME_REG_INTMC:
		latch->intm &= ~value;
		return false;
	case NVME_REG_CC:
		write_cc(latch, value);
		return true;
	case NVME_REG_AQA:
		latch->aqa = value & VFMIG_NVME_AQA_MASK;
		return false;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		set_half(&latch->asq, offset & 4, value);
		return false;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		set_half(&latch->acq, offset & 4, value);
		return false;
	default:
		return false;
	}
}

void vfmig_nvme_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val)
{
	struct vfmig_nvme *ctrl = vf;
	bool kick = false;

	/* No register is narrower than 4 bytes, and a partial write is not allowed */
	if (bar || len < 4)
		return;

	scoped_guard(spinlock, &ctrl->latch.lock) {
		if (ctrl->latch.frozen)
			return;
		kick = vfmig_nvme_take_stores(ctrl);
		kick |= vfmig_nvme_reg_write(ctrl, offset, lower_32_bits(val));
		if (len == 8)
			kick |= vfmig_nvme_reg_write(ctrl, offset + 4, upper_32_bits(val));
		vfmig_nvme_show_regs(ctrl);
	}
	if (!kick || (offset >= NVME_REG_DBS && vfmig_nvme_serve(ctrl)))
		return;
	vfmig_worker_kick(&ctrl->worker);
}

void vfmig_nvme_set_csts(struct vfmig_nvme *ctrl, u32 clear, u32 set)
{
	spin_lock(&ctrl->latch.lock);
	ctrl->latch.csts = (ctrl->latch.csts & ~clear) | set;
	vfmig_nvme_show_regs(ctrl);
	spin_unlock(&ctrl->latch.lock);
}

/* Does the controller accept commands?  CSTS changes only with the controller's lock held. */
bool vfmig_nvme_ready(const struct vfmig_nvme *ctrl)
{
	return (ctrl->latch.csts & (NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST_MASK)) ==
	       NVME_CSTS_RDY;
}

/* Drop all commands, queues and vectors to raise, and the host's buffers */
void vfmig_nvme_drop_commands(struct vfmig_nvme *ctrl)
{
	vfmig_fn_forget_writes(ctrl->fn);
	vfmig_nvme_init_reqs(ctrl);
	memset(ctrl->sq, 0, sizeof(ctrl->sq));
	memset(ctrl->cq, 0, sizeof(ctrl->cq));
	WRITE_ONCE(ctrl->shadow.on, false);
	bitmap_zero(ctrl->raise, VFMIG_NVME_VECTORS);
	bitmap_zero(ctrl->held.vectors, VFMIG_NVME_VECTORS);
	bitmap_zero(ctrl->busy, VFMIG_NVME_QUEUES);
	ctrl->next_sq = 0;
}

/* Controller reset: resets everything but AQA, ASQ, ACQ, the logs and the medium */
void vfmig_nvme_disable(struct vfmig_nvme *ctrl)
{
	vfmig_nvme_drop_commands(ctrl);
	vfmig_nvme_default_features(ctrl);
	ctrl->events = (struct vfmig_nvme_events) {};
	ctrl->page_shift = VFMIG_NVME_MIN_SHIFT;
	ctrl->cc &= ~NVME_CC_ENABLE;
	vfmig_nvme_set_csts(ctrl, ~0, 0);
}

static bool admin_queues_valid(struct vfmig_nvme *ctrl)
{
	u64 page_mask = (1ULL << ctrl->page_shift) - 1;

	return ctrl->sq[0].size > 1 && ctrl->cq[0].size > 1 &&
	       !(ctrl->sq[0].base & page_mask) && !(ctrl->cq[0].base & page_mask);
}

/* CC.EN was set: become ready, or set the fatal status if the configuration is invalid */
static void enable(struct vfmig_nvme *ctrl, u32 cc, u32 aqa, u64 asq, u64 acq)
{
	unsigned int mps = (cc >> NVME_CC_MPS_SHIFT) & 0xf;

	ctrl->page_shift = VFMIG_NVME_MIN_SHIFT + mps;
	ctrl->sq[0] = (struct vfmig_nvme_sq) { .base = asq, .size = (aqa & 0xfff) + 1 };
	ctrl->cq[0] = (struct vfmig_nvme_cq) {
		.base = acq,
		.size = ((aqa >> 16) & 0xfff) + 1,
		.irq = true,
		.phase = true,
	};

	if ((cc & NVME_CC_CSS_MASK) != NVME_CC_CSS_NVM || ((cc >> NVME_CC_AMS_SHIFT) & 7) ||
	    ctrl->page_shift > VFMIG_NVME_MAX_SHIFT || !admin_queues_valid(ctrl)) {
		vfmig_nvme_drop_commands(ctrl);
		ctrl->page_shift = VFMIG_NVME_MIN_SHIFT;
		vfmig_nvme_fatal(ctrl);
		return;
	}
	ctrl->moved = false;
	/* After a load and a reset this is how a guest begins to use it */
	vfmig_nvme_ident_run(ctrl);
	vfmig_nvme_set_csts(ctrl, NVME_CSTS_SHST_MASK, NVME_CSTS_RDY);
}

static void take_cc(struct vfmig_nvme *ctrl, u32 cc, u32 aqa, u64 asq, u64 acq)
{
	u32 changed = ctrl->cc ^ cc;

	ctrl->cc = cc;
	if ((changed & NVME_CC_ENABLE) && (cc & NVME_CC_ENABLE))
		enable(ctrl, cc, aqa, asq, acq);

	/* The medium is memory, so a shutdown has nothing to wait for */
	if ((changed & NVME_CC_SHN_MASK) && (cc & NVME_CC_SHN_MASK)) {
		vfmig_nvme_init_reqs(ctrl);
		vfmig_fn_forget_writes(ctrl->fn);
		vfmig_nvme_set_csts(ctrl, NVME_CSTS_SHST_MASK, NVME_CSTS_SHST_CMPLT);
	}
}

/* Handle the register writes since the last call */
void vfmig_nvme_take_registers(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;
	DECLARE_BITMAP(rung, 2 * VFMIG_NVME_QUEUES);
	u16 doorbell[2 * VFMIG_NVME_QUEUES];
	u32 flags, cc, aqa;
	unsigned int i;
	u64 asq, acq;

	scoped_guard(spinlock, &latch->lock) {
		vfmig_nvme_take_stores(ctrl);
		flags = latch->flags;
		cc = latch->cc;
		aqa = latch->aqa;
		asq = latch->asq;
		acq = latch->acq;
		bitmap_copy(rung, latch->rung, 2 * VFMIG_NVME_QUEUES);
		memcpy(doorbell, latch->doorbell, sizeof(doorbell));
		latch->flags = 0;
		bitmap_zero(latch->rung, 2 * VFMIG_NVME_QUEUES);
		bitmap_zero(latch->full, VFMIG_NVME_QUEUES);
	}

	if (flags & VFMIG_NVME_DISABLED)
		vfmig_nvme_disable(ctrl);
	if (cc != ctrl->cc)
		take_cc(ctrl, cc, aqa, asq, acq);
	if (!vfmig_nvme_ready(ctrl))
		return;

	if (flags & VFMIG_NVME_BAD_DOORBELL)
		vfmig_nvme_doorbell_error(ctrl, U16_MAX, VFMIG_NVME_DOORBELL_REGISTER);
	for_each_set_bit(i, rung, 2 * VFMIG_NVME_QUEUES)
		vfmig_nvme_doorbell(ctrl, i, doorbell[i]);
	vfmig_nvme_shadow_tails(ctrl);
}

/*
 * The worker is about to sleep while something waits for room in the queues of @ctrl->full.
 * From now on their head doorbells kick it.  Returns true if there is room in one after all.
 */
bool vfmig_nvme_await_room(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;
	unsigned int cqid;
	bool rung = false;

	if (bitmap_empty(ctrl->full, VFMIG_NVME_QUEUES))
		return false;
	scoped_guard(spinlock, &latch->lock) {
		bitmap_copy(latch->full, ctrl->full, VFMIG_NVME_QUEUES);
		for_each_set_bit(cqid, latch->full, VFMIG_NVME_QUEUES)
			rung |= test_bit(2 * cqid + 1, latch->rung);
	}
	for_each_set_bit(cqid, ctrl->full, VFMIG_NVME_QUEUES)
		rung |= vfmig_nvme_shadow_head(ctrl, cqid, true);
	return rung;
}
