// SPDX-License-Identifier: GPL-2.0-only
/* See lull.h; the headers of the kernel that it needs are in ../kernel */
#include "lull.h"

#include "../../../../../drivers/vfmig/virtio/net_lull.c"
