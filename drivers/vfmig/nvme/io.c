// SPDX-License-Identifier: GPL-2.0-only
/*
 * The I/O commands.  Data is copied once, between pages of the medium and pages of the
 * host.  If DMA is off, or there is no memory for the medium, a command is executed again
 * from its beginning.  Write Zeroes and Dataset Management can take long, so they are
 * executed in pieces.
 */
#include <linux/highmem.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "nvme.h"

/* Time limit for a piece of a command; at least one chunk is done in any case */
#define VFMIG_NVME_PIECE_NS	(100 * NSEC_PER_USEC)

#define VFMIG_NVME_BAD_RANGE	(NVME_SC_LBA_RANGE | NVME_STATUS_DNR)

static u16 check_range(const struct vfmig_nvme *ctrl, u64 slba, u64 blocks)
{
	u64 lbas = vfmig_nvme_lbas(ctrl);

	return slba <= lbas && blocks <= lbas - slba ? NVME_SC_SUCCESS : VFMIG_NVME_BAD_RANGE;
}

static u16 read_piece(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece, void *arg)
{
	struct page *page = vfmig_memory_lookup(&ctrl->media, piece->offset);
	void *data;
	int ret;

	data = kmap_local_page(page ?: ZERO_PAGE(0));
	ret = vfmig_fn_dma_write(ctrl->fn, piece->iova,
				 data + piece->offset % VFMIG_GRANULE, piece->len);
	kunmap_local(data);
	return vfmig_nvme_dma_status(ret);
}

/* Bytes for the medium, which are at @iova of the host, or in @data if that is not NULL */
struct source {
	u64 iova;
	const void *data;
};

static int copy_in(struct vfmig_nvme *ctrl, void *to, const struct source *from, u32 len)
{
	if (!from->data)
		return vfmig_fn_dma_read(ctrl->fn, from->iova, to, len);
	memcpy(to, from->data, len);
	return 0;
}

/* Write whole blocks of one granule, all or none of them */
static u16 write_blocks(struct vfmig_nvme *ctrl, u64 offset, u32 len, const struct source *source)
{
	unsigned int from = offset % VFMIG_GRANULE;
	bool whole = len == VFMIG_GRANULE;
	struct vfmig_memory_write write;
	void *data;
	int ret;

	/* The medium is thin: a write may need memory */
	ret = vfmig_memory_write_begin(&ctrl->media, offset - from, whole, &write);
	if (ret == -ENOMEM)
		return VFMIG_NVME_SC_SHORT;
	if (ret) {
		ctrl->health.media_errors++;
		return NVME_SC_CAP_EXCEEDED | NVME_STATUS_DNR;
	}
	ctrl->sanitize.written = true;
	data = kmap_local_page(write.page);
	ret = copy_in(ctrl, data + from, source, len);
	if (unlikely(ret && whole && write.fresh))
		memset(data, 0, VFMIG_GRANULE);
	kunmap_local(data);
	vfmig_memory_write_end(&ctrl->media, &write);
	return vfmig_nvme_dma_status(ret);
}

static u16 fetch(struct vfmig_nvme *ctrl, u64 iova, void *to, u32 len)
{
	return vfmig_nvme_dma_status(vfmig_fn_dma_read(ctrl->fn, iova, to, len));
}

/*
 * A block may be in two pages of the host, and so in two pieces.  It is put together in @ctrl->buf
 * before it is written: a fault in the second page must not leave half a block (AWUPF).
 */
static u16 write_piece(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece, void *arg)
{
	u32 size = 1U << ctrl->lba_shift, begun = piece->offset & (size - 1);
	u32 head = begun ? size - begun : 0;
	u32 whole = round_down(piece->len - head, size), tail = piece->len - head - whole;
	const struct source put_together = { .data = ctrl->buf };
	const struct source blocks = { .iova = piece->iova + head };
	u16 status = NVME_SC_SUCCESS;

	if (head) {
		status = fetch(ctrl, piece->iova, ctrl->buf + begun, head);
		if (!status)
			status = write_blocks(ctrl, piece->offset - begun, size, &put_together);
	}
	if (!status && whole)
		status = write_blocks(ctrl, piece->offset + head, whole, &blocks);
	if (!status && tail)
		status = fetch(ctrl, piece->iova + head + whole, ctrl->buf, tail);
	return status;
}

static u16 compare_piece(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece, void *arg)
{
	struct page *page = vfmig_memory_lookup(&ctrl->media, piece->offset);
	void *data;
	int ret;

	ret = vfmig_fn_dma_read(ctrl->fn, piece->iova, ctrl->buf, piece->len);
	if (ret)
		return vfmig_nvme_dma_status(ret);
	data = kmap_local_page(page ?: ZERO_PAGE(0));
	ret = memcmp(data + piece->offset % VFMIG_GRANULE, ctrl->buf, piece->len);
	kunmap_local(data);
	return ret ? NVME_SC_COMPARE_FAILED | NVME_STATUS_DNR : NVME_SC_SUCCESS;
}

/* Call @transfer for each piece of the data of @cmd; *@units: size of the data, in 512 bytes */
static u16 transfer_blocks(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			   vfmig_nvme_transfer_fn *transfer, u64 *units)
{
	u64 slba = le64_to_cpu(cmd->rw.slba);
	u32 blocks = le16_to_cpu(cmd->rw.length) + 1;
	u32 len = blocks << ctrl->lba_shift;
	u16 status;

	if (len > VFMIG_NVME_MAX_TRANSFER)
		return VFMIG_NVME_BAD_FIELD;
	status = check_range(ctrl, slba, blocks);
	if (status)
		return status;
	*units = len / 512;
	return vfmig_nvme_transfer(ctrl, cmd, slba << ctrl->lba_shift, len, transfer, NULL);
}

/* The SMART log counts a Compare as a Read */
static u16 read_blocks(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
		       vfmig_nvme_transfer_fn *transfer)
{
	u64 units;
	u16 status = transfer_blocks(ctrl, cmd, transfer, &units);

	if (!status) {
		ctrl->health.reads++;
		ctrl->health.read_units += units;
	}
	return status;
}

static u16 execute_read(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	return read_blocks(ctrl, &req->cmd, read_piece);
}

static u16 execute_compare(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	return read_blocks(ctrl, &req->cmd, compare_piece);
}

static u16 execute_write(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u64 units;
	u16 status = transfer_blocks(ctrl, &req->cmd, write_piece, &units);

	if (!status) {
		ctrl->health.writes++;
		ctrl->health.written_units += units;
	}
	return status;
}

/* The medium is memory, so there is nothing to flush */
static u16 execute_flush(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	return NVME_SC_SUCCESS;
}

/*
 * The next piece of a command that makes ranges of the medium read as zeroes.  A range may be as
 * large as the medium.  The worker drops the lock between pieces, so other threads get it soon.
 */
struct zero {
	struct vfmig_nvme *ctrl;
	u64 skip;	/* bytes left to skip, because they are done */
	u64 *done;	/* see &struct vfmig_nvme_req */
	u64 deadline;	/* ktime in ns */
	bool begun;	/* this piece has made progress */
};

static bool zero_is_over(const struct zero *zero)
{
	return zero->begun &&
	       (vfmig_lock_is_wanted(&zero->ctrl->lock) || ktime_get_ns() > zero->deadline);
}

static struct zero zero_begin(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	return (struct zero) {
		.ctrl = ctrl,
		.skip = req->done,
		.done = &req->done,
		.deadline = ktime_get_ns() + VFMIG_NVME_PIECE_NS,
	};
}

/* NVME_SC_SUCCESS if all of the range is done, or VFMIG_NVME_SC_MORE */
static u16 zero_range(struct zero *zero, u64 slba, u64 blocks, bool deallocate)
{
	struct vfmig_nvme *ctrl = zero->ctrl;
	u64 offset = slba << ctrl->lba_shift, length = blocks << ctrl->lba_shift;
	u64 skip = min(zero->skip, length);

	zero->skip -= skip;
	offset += skip;
	length -= skip;
	while (length) {
		u64 piece;

		if (zero_is_over(zero))
			return VFMIG_NVME_SC_MORE;
		piece = vfmig_memory_zero_piece(&ctrl->media, offset, length, deallocate);
		zero->begun = true;
		*zero->done += piece;
		offset += piece;
		length -= piece;
	}
	return NVME_SC_SUCCESS;
}

static u16 execute_write_zeroes(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct nvme_command *cmd = &req->cmd;
	u64 slba = le64_to_cpu(cmd->write_zeroes.slba);
	u32 blocks = le16_to_cpu(cmd->write_zeroes.length) + 1;
	bool deallocate = le16_to_cpu(cmd->write_zeroes.control) & NVME_WZ_DEAC;
	struct zero zero = zero_begin(ctrl, req);
	u16 status = check_range(ctrl, slba, blocks);

	if (status)
		return status;
	ctrl->sanitize.written = true;
	return zero_range(&zero, slba, blocks, deallocate);
}

static u16 execute_dsm(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct nvme_command *cmd = &req->cmd;
	unsigned int nr = (le32_to_cpu(cmd->dsm.nr) & 0xff) + 1;
	const struct nvme_dsm_range *range = (void *)ctrl->buf;
	struct zero zero = zero_begin(ctrl, req);
	u16 status;

	static_assert(NVME_DSM_MAX_RANGES * sizeof(*range) <= VFMIG_NVME_BUF);

	/* The other attributes are hints, and are ignored */
	if (!(le32_to_cpu(cmd->dsm.attributes) & NVME_DSMGMT_AD))
		return NVME_SC_SUCCESS;

	/* Again for each piece, because other commands use the buffer in between */
	status = vfmig_nvme_data_from_host(ctrl, cmd, ctrl->buf, nr * sizeof(*range));
	for (unsigned int i = 0; !status && i < nr; i++)
		status = check_range(ctrl, le64_to_cpu(range[i].slba), le32_to_cpu(range[i].nlb));

	for (unsigned int i = 0; !status && i < nr; i++)
		status = zero_range(&zero, le64_to_cpu(range[i].slba),
				    le32_to_cpu(range[i].nlb), true);
	return status;
}

struct vfmig_nvme_io_op {
	u16 (*execute)(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
	u32 effects;
};

static const struct vfmig_nvme_io_op io_ops[] = {
	[nvme_cmd_flush] = { execute_flush, NVME_CMD_EFFECTS_CSUPP },
	[nvme_cmd_write] = { execute_write, NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC },
	[nvme_cmd_read] = { execute_read, NVME_CMD_EFFECTS_CSUPP },
	[nvme_cmd_compare] = { execute_compare, NVME_CMD_EFFECTS_CSUPP },
	[nvme_cmd_write_zeroes] = { execute_write_zeroes,
				    NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC },
	[nvme_cmd_dsm] = { execute_dsm, NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC },
};

/* Its entry in the Commands Supported and Effects log */
u32 vfmig_nvme_io_effects(unsigned int opcode)
{
	return opcode < ARRAY_SIZE(io_ops) ? io_ops[opcode].effects : 0;
}

u16 vfmig_nvme_execute_io(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct nvme_command *cmd = &req->cmd;
	u32 nsid = le32_to_cpu(cmd->common.nsid);
	u8 opcode = cmd->common.opcode;

	if (opcode >= ARRAY_SIZE(io_ops))
		return NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR;
	opcode = array_index_nospec(opcode, ARRAY_SIZE(io_ops));
	if (!io_ops[opcode].execute)
		return NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR;
	if (cmd->common.flags & VFMIG_NVME_BAD_FLAGS)
		return VFMIG_NVME_BAD_FIELD;
	if (nsid != VFMIG_NVME_NSID && (opcode != nvme_cmd_flush || nsid != NVME_NSID_ALL))
		return NVME_SC_INVALID_NS | NVME_STATUS_DNR;
	if (vfmig_nvme_has_fault(ctrl, cmd, VFMIG_NVME_FAULT_ERROR))
		return vfmig_nvme_fault_status(ctrl, cmd);
	return io_ops[opcode].execute(ctrl, req);
}
