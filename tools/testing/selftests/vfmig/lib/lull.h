/* SPDX-License-Identifier: GPL-2.0-only */
/* A part of the device: whether it looks for frames by itself */
#ifndef VFMIG_TEST_LULL_H
#define VFMIG_TEST_LULL_H

#include "util.h"

#include "../../../../../drivers/vfmig/virtio/net_lull.h"

#endif /* VFMIG_TEST_LULL_H */
