/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Pages that a function wrote, and that it is to write again: the part that dma.c needs
 * for each write.  rewrite.c has the rest.
 */
#ifndef _VFMIG_FABRIC_REWRITE_H
#define _VFMIG_FABRIC_REWRITE_H

#include <linux/types.h>

struct vfmig_dirty;
struct vfmig_fn;
struct vfmig_rewrite;

void vfmig_rewrite_note(struct vfmig_rewrite *rewrite, u64 iova, phys_addr_t paddr);
void vfmig_rewrite_end(struct vfmig_fn *fn);

/* dma.c */
int vfmig_dma_again(struct vfmig_fn *fn, u64 iova, phys_addr_t paddr,
		    struct vfmig_dirty **unprepared);

#endif /* _VFMIG_FABRIC_REWRITE_H */
