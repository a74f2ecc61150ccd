// SPDX-License-Identifier: GPL-2.0-only
/* See trial.h; the headers of the kernel that it needs are in ../kernel */
#include "trial.h"

#include "../../../../../drivers/vfmig/model/trial.c"
