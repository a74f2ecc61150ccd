// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data of a command: PRP entries and lists.  All entries of a command are
 * fetched and checked before any data moves.
 */
#include <linux/kernel.h>

#include "nvme.h"

#define VFMIG_NVME_BAD_PRP	(NVME_SC_PRP_INVALID_OFFSET | NVME_STATUS_DNR)

/* Status of a command whose DMA returned @err */
u16 vfmig_nvme_dma_status(int err)
{
	if (!err)
		return NVME_SC_SUCCESS;
	return err == -EAGAIN ? VFMIG_NVME_SC_AGAIN : NVME_SC_DATA_XFER_ERROR;
}

/* Fetch @count entries from @list into @ctrl->prps at @at; all must be page-aligned */
static u16 fetch_entries(struct vfmig_nvme *ctrl, u64 list, unsigned int at, unsigned int count)
{
	u64 page_mask = (1ULL << ctrl->page_shift) - 1;
	int ret;

	ret = vfmig_fn_dma_read(ctrl->fn, list, &ctrl->prps[at], count * sizeof(__le64));
	if (ret)
		return vfmig_nvme_dma_status(ret);

	for (unsigned int i = at; i < at + count; i++)
		if (le64_to_cpu(ctrl->prps[i]) & page_mask)
			return VFMIG_NVME_BAD_PRP;
	return NVME_SC_SUCCESS;
}

/* Fetch @count entries from a list that may continue in other pages */
static u16 fetch_list(struct vfmig_nvme *ctrl, u64 list, unsigned int count)
{
	u64 page_mask = (1ULL << ctrl->page_shift) - 1;
	unsigned int at = 1;
	u16 status;
	int ret;

	if (list & 7)
		return VFMIG_NVME_BAD_PRP;

	for (;;) {
		unsigned int room = (page_mask + 1 - (list & page_mask)) / sizeof(__le64);
		bool chained = count > room;
		unsigned int n = chained ? room - 1 : count;
		__le64 next;

		status = fetch_entries(ctrl, list, at, n);
		if (status || !chained)
			return status;

		/* The last entry of the page points to the next page of the list */
		ret = vfmig_fn_dma_read(ctrl->fn, list + n * sizeof(next), &next, sizeof(next));
		if (ret)
			return vfmig_nvme_dma_status(ret);
		list = le64_to_cpu(next);
		if (list & page_mask)
			return VFMIG_NVME_BAD_PRP;
		at += n;
		count -= n;
	}
}

/* Set @ctrl->prps for the @len bytes, at most VFMIG_NVME_MAX_TRANSFER, of @cmd's data */
static u16 map_data(struct vfmig_nvme *ctrl, const struct nvme_command *cmd, u32 len)
{
	u64 prp1 = le64_to_cpu(cmd->common.dptr.prp1);
	u64 prp2 = le64_to_cpu(cmd->common.dptr.prp2);
	u32 page_size = 1U << ctrl->page_shift;
	u32 first = page_size - (prp1 & (page_size - 1));

	if (prp1 & 3)
		return VFMIG_NVME_BAD_PRP;
	ctrl->prps[0] = cpu_to_le64(prp1);
	if (len <= first)
		return NVME_SC_SUCCESS;

	len -= first;
	if (len > page_size)
		return fetch_list(ctrl, prp2, DIV_ROUND_UP(len, page_size));
	if (prp2 & (page_size - 1))
		return VFMIG_NVME_BAD_PRP;
	ctrl->prps[1] = cpu_to_le64(prp2);
	return NVME_SC_SUCCESS;
}

/* IOVA of byte @pos of the data in @ctrl->prps; *@left: bytes from there to the page's end */
static u64 data_iova(const struct vfmig_nvme *ctrl, u32 pos, u32 *left)
{
	u32 page_mask = (1U << ctrl->page_shift) - 1;
	u64 prp1 = le64_to_cpu(ctrl->prps[0]);
	u32 at = (prp1 & page_mask) + pos;

	*left = page_mask + 1 - (at & page_mask);
	if (at <= page_mask)
		return prp1 + pos;
	return le64_to_cpu(ctrl->prps[at >> ctrl->page_shift]) + (at & page_mask);
}

/*
 * Transfer the @len bytes, at most VFMIG_NVME_MAX_TRANSFER, of @cmd's data.  On the device's
 * side they begin at @offset of the medium or of another object that @transfer knows.
 * @transfer is called, with @arg, for each piece within one host page and one granule.
 */
u16 vfmig_nvme_transfer(struct vfmig_nvme *ctrl, const struct nvme_command *cmd, u64 offset,
			u32 len, vfmig_nvme_transfer_fn *transfer, void *arg)
{
	u16 status = map_data(ctrl, cmd, len);
	u32 pos, left;

	for (pos = 0; !status && pos < len; pos += left) {
		struct vfmig_nvme_piece piece = {
			.offset = offset + pos,
			.iova = data_iova(ctrl, pos, &left),
		};

		left = min(left, len - pos);
		left = min_t(u32, left, VFMIG_GRANULE - piece.offset % VFMIG_GRANULE);
		/* The guest's pages may be larger than the host's */
		left = min_t(u32, left, PAGE_SIZE - offset_in_page(piece.iova));
		piece.len = left;
		status = transfer(ctrl, &piece, arg);
	}
	return status;
}

static u16 piece_to_host(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece, void *buf)
{
	return vfmig_nvme_dma_status(vfmig_fn_dma_write(ctrl->fn, piece->iova,
							buf + piece->offset, piece->len));
}

static u16 piece_from_host(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece,
			   void *buf)
{
	return vfmig_nvme_dma_status(vfmig_fn_dma_read(ctrl->fn, piece->iova,
						       buf + piece->offset, piece->len));
}

/* Copy @len bytes of a structure to the host */
u16 vfmig_nvme_data_to_host(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			    void *buf, u32 len)
{
	return vfmig_nvme_transfer(ctrl, cmd, 0, len, piece_to_host, buf);
}

/* Copy @len bytes of a structure from the host */
u16 vfmig_nvme_data_from_host(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			      void *buf, u32 len)
{
	return vfmig_nvme_transfer(ctrl, cmd, 0, len, piece_from_host, buf);
}
