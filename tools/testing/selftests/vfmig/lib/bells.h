/* SPDX-License-Identifier: GPL-2.0-only */
/* Doorbells of an NVMe VF that are mapped */
#ifndef VFMIG_TEST_BELLS_H
#define VFMIG_TEST_BELLS_H

#include "nvme.h"

/* The part of BAR 0 that can be mapped, from its region info; false if there is none */
bool bells_area(struct vfio_dev *dev, u64 *offset, u64 *size);

/* Map that part, in the whole process; or NULL */
u32 *bells_map(struct vfio_dev *dev);
void bells_unmap(u32 *bells);

/* A store that the compiler neither leaves out nor delays */
void bells_store(u32 *bells, unsigned int index, u32 value);

/* Have the driver ring by @bells from now on, or by write() again if NULL */
void bells_use(struct nvme *nvme, u32 *bells);

#endif /* VFMIG_TEST_BELLS_H */
