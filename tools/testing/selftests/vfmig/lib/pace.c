// SPDX-License-Identifier: GPL-2.0-only
/* See pace.h; the headers of the kernel that it needs are in ../kernel */
#include "pace.h"

#include "../../../../../drivers/vfmig/nvme/pace.c"
