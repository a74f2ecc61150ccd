/* SPDX-License-Identifier: GPL-2.0-only */
/* A part of the device: how many commands it awaits */
#ifndef VFMIG_TEST_PACE_H
#define VFMIG_TEST_PACE_H

#include "util.h"

#include "../../../../../drivers/vfmig/nvme/pace.h"

#endif /* VFMIG_TEST_PACE_H */
