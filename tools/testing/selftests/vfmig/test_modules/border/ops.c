// SPDX-License-Identifier: GPL-2.0-only
/*
 * The operations on a VF.  Each is counted, and fails if a test wants it to.
 */
#include <linux/iova_bitmap.h>
#include <linux/module.h>
#include <linux/range.h>
#include <linux/vfio.h>

#include "border.h"

#define VF_OP(op)	{ #op, offsetof(struct border_offer, vf.op) }
#define MEM_OP(op)	{ #op, offsetof(struct border_offer, mem.op) }
#define LOG_OP(op)	{ #op, offsetof(struct border_offer, log.op) }

const struct border_op_desc border_ops[BORDER_OPS] = {
	VF_OP(find),
	VF_OP(open),
	VF_OP(close),
	VF_OP(enter),
	VF_OP(reset),
	VF_OP(reset_prepare),
	VF_OP(reset_done),
	VF_OP(bar_read),
	VF_OP(bar_write),
	VF_OP(map),
	VF_OP(quiesce),
	VF_OP(resume),
	VF_OP(freeze),
	VF_OP(thaw),
	VF_OP(identity),
	VF_OP(identity_check),
	VF_OP(save_start),
	VF_OP(save_final),
	VF_OP(save_stop),
	VF_OP(state_pending),
	VF_OP(state_read),
	VF_OP(handed_over),
	VF_OP(load_start),
	VF_OP(load_state),
	VF_OP(load_commit),
	VF_OP(load_abort),
	MEM_OP(allocated),
	MEM_OP(pending),
	MEM_OP(next),
	MEM_OP(page),
	MEM_OP(read),
	MEM_OP(load_page),
	MEM_OP(load_data),
	MEM_OP(load_hole),
	LOG_OP(start),
	LOG_OP(stop),
	LOG_OP(report),
};

/* Counts a call; returns 0 or the errno that it is to fail with */
int border_fails(struct border_vf *vf, enum border_op op)
{
	atomic_inc(&vf->calls[op]);
	guard(spinlock_irqsave)(&vf->ready_lock);
	if (!vf->fail[op].left)
		return 0;
	if (vf->fail[op].skip) {
		vf->fail[op].skip--;
		return 0;
	}
	if (vf->fail[op].left > 0)
		vf->fail[op].left--;
	return -vf->fail[op].err;
}

/* Operations that return -EAGAIN work again */
void border_end_waits(struct border_vf *vf)
{
	guard(spinlock_irqsave)(&vf->ready_lock);
	for (unsigned int i = 0; i < BORDER_OPS; i++)
		if (vf->fail[i].err == EAGAIN)
			vf->fail[i].left = 0;
}

void border_power_on(struct border_vf *vf)
{
	guard(mutex)(&vf->lock);
	vf->running = BORDER_RUNS;
	memset(vf->regs, 0, sizeof(vf->regs));
}

static void *border_find(struct pci_dev *pf, unsigned int index)
{
	if (index >= BORDER_VFS || border_fails(&border_vfs[index], BORDER_find))
		return NULL;
	return &border_vfs[index];
}

static void set_client(struct border_vf *vf, const struct vfmig_vf_client *client, void *data)
{
	guard(spinlock_irqsave)(&vf->ready_lock);
	vf->client = client;
	vf->client_data = data;
}

static int border_open(void *data, const struct vfmig_vf_client *client, void *client_data)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_open);

	if (ret)
		return ret;
	border_power_on(vf);
	guard(mutex)(&vf->client_lock);
	if (vf->client)
		return -EBUSY;
	set_client(vf, client, client_data);
	return 0;
}

static void border_close(void *data)
{
	struct border_vf *vf = data;

	border_fails(vf, BORDER_close);
	vfmig_fn_log_stop(vf->fn);
	scoped_guard(mutex, &vf->client_lock)
		set_client(vf, NULL, NULL);
}

static void border_enter(void *data)
{
	border_fails(data, BORDER_enter);
}

static int border_reset(void *data)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_reset);

	if (ret)
		return ret;
	border_power_on(vf);
	guard(mutex)(&vf->client_lock);
	if (vf->client && !border_offer.silent)
		vf->client->reset(vf->client_data);
	return 0;
}

static void border_reset_prepare(void *data)
{
	border_fails(data, BORDER_reset_prepare);
}

static void border_reset_done(void *data)
{
	border_fails(data, BORDER_reset_done);
}

/* Register @offset / 8, if BAR 0 has it */
static u64 *find_reg(struct border_vf *vf, unsigned int bar, u64 offset, unsigned int len)
{
	return bar || len != 8 || offset / 8 >= BORDER_REGS ? NULL : &vf->regs[offset / 8];
}

static u64 border_bar_read(void *data, unsigned int bar, u64 offset, unsigned int len)
{
	struct border_vf *vf = data;
	u64 *reg = find_reg(vf, bar, offset, len);

	border_fails(vf, BORDER_bar_read);
	guard(mutex)(&vf->lock);
	return reg ? *reg : U64_MAX;
}

static void border_bar_write(void *data, unsigned int bar, u64 offset, unsigned int len, u64 val)
{
	struct border_vf *vf = data;
	u64 *reg = find_reg(vf, bar, offset, len);

	border_fails(vf, BORDER_bar_write);
	guard(mutex)(&vf->lock);
	if (reg && vf->running != BORDER_FROZEN)
		*reg = val;
}

/* With -ECANCELED it works, and a reset comes while it is under way */
static int run_as(struct border_vf *vf, enum border_op op, enum border_running running)
{
	int ret = border_fails(vf, op);

	if (ret && ret != -ECANCELED)
		return ret;
	scoped_guard(mutex, &vf->lock)
		vf->running = running;
	return ret ? border_reset(vf) : 0;
}

static int border_quiesce(void *data)
{
	return run_as(data, BORDER_quiesce, BORDER_QUIESCED);
}

static int border_resume(void *data)
{
	return run_as(data, BORDER_resume, BORDER_RUNS);
}

static int border_freeze(void *data)
{
	return run_as(data, BORDER_freeze, BORDER_FROZEN);
}

static int border_thaw(void *data)
{
	bool p2p = border_offer.vf.migration_flags & VFIO_MIGRATION_P2P;

	return run_as(data, BORDER_thaw, p2p ? BORDER_QUIESCED : BORDER_RUNS);
}

static int border_identity(void *data, struct vfmig_vf_identity *id)
{
	int ret = border_fails(data, BORDER_identity);

	if (ret)
		return ret;
	*id = (struct vfmig_vf_identity) {
		.model = "border",
		.model_version = 1,
		.memory_size = border_offer.vf.mem ? BORDER_MEMORY : 0,
		.data = "vfmig",
		.data_length = 6,
	};
	return 0;
}

static const char *border_identity_check(void *data, const struct vfmig_vf_identity *id)
{
	return border_fails(data, BORDER_identity_check) ? "told to refuse it" : NULL;
}

static int border_save_start(void *data, bool precopy)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_save_start);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (vf->saving && border_offer.vf.save_stop)
		return -EBUSY;
	border_state_begin(vf, precopy);
	border_memory_begin(vf);
	vf->saving = true;
	return 0;
}

static int border_save_final(void *data)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_save_final);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (vf->running != BORDER_FROZEN)
		return -ECANCELED;
	vf->final = true;
	return 0;
}

static int border_save_stop(void *data)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_save_stop);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	vf->saving = false;
	return 0;
}

static int border_handed_over(void *data)
{
	return border_fails(data, BORDER_handed_over);
}

static int border_load_start(void *data)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_load_start);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (vf->loading && border_offer.vf.load_abort)
		return -EBUSY;
	vf->loading = true;
	vf->loaded = 0;
	vf->wrong = 0;
	border_memory_free(&vf->beside);
	return 0;
}

static int border_load_commit(void *data, const char **why)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_load_commit);

	*why = NULL;
	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (!vf->loading)
		return -EINVAL;
	vf->loading = false;
	border_memory_replace(&vf->memory, &vf->beside);
	return 0;
}

static void border_load_abort(void *data)
{
	struct border_vf *vf = data;

	border_fails(vf, BORDER_load_abort);
	guard(mutex)(&vf->lock);
	vf->loading = false;
	border_memory_free(&vf->beside);
}

bool border_map_area(void *data, unsigned int bar, struct range *area)
{
	area->start = 0;
	area->end = SZ_4K - 1;
	return !bar && PAGE_SIZE == SZ_4K;
}

static struct page *border_map(void *data, unsigned int bar, u64 offset)
{
	struct border_vf *vf = data;

	return border_fails(vf, BORDER_map) ? NULL : vf->behind;
}

const struct vfmig_vf_ops border_vf_ops = {
	.owner = THIS_MODULE,
	.find = border_find,
	.open = border_open,
	.close = border_close,
	.enter = border_enter,
	.reset = border_reset,
	.reset_prepare = border_reset_prepare,
	.reset_done = border_reset_done,
	.bar_read = border_bar_read,
	.bar_write = border_bar_write,
	.map = border_map,
	.quiesce = border_quiesce,
	.resume = border_resume,
	.freeze = border_freeze,
	.thaw = border_thaw,
	.identity = border_identity,
	.identity_check = border_identity_check,
	.save_start = border_save_start,
	.save_final = border_save_final,
	.save_stop = border_save_stop,
	.state_pending = border_state_pending,
	.state_read = border_state_read,
	.handed_over = border_handed_over,
	.load_start = border_load_start,
	.load_state = border_load_state,
	.load_commit = border_load_commit,
	.load_abort = border_load_abort,
};

static int border_start(void *data, const struct range *ranges, unsigned int count, u64 *page_size)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_start);

	*page_size = SZ_4K;
	return ret ?: vfmig_fn_log_start(vf->fn, ranges, count);
}

static int border_stop(void *data)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_stop);

	if (!ret)
		vfmig_fn_log_stop(vf->fn);
	return ret;
}

static int border_report(void *data, u64 iova, u64 length, struct iova_bitmap *dirty)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_report);

	return ret ?: vfmig_fn_log_report(vf->fn, iova, length, dirty);
}

const struct vfmig_log_ops border_log_ops = {
	.start = border_start,
	.stop = border_stop,
	.report = border_report,
};
